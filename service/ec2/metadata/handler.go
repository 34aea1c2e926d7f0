package metadata

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// tokenPath is where tokens are made, in every version.
const tokenPath = "/latest/api/token"

// Handler serves the instances of a VPC.
func (s *Service) Handler(vpc string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from, err := netip.ParseAddrPort(r.RemoteAddr)
		n, ok := Instance{}, false
		if err == nil {
			n, ok = s.Instances.Find(r.Context(), vpc, from.Addr().Unmap())
		}
		if !ok { // it may be known in a moment
			refuse(w, http.StatusServiceUnavailable)
			return
		}
		s.serve(w, r, &n)
	})
}

// serve answers an instance. source: userguide
func (s *Service) serve(w http.ResponseWriter, r *http.Request, n *Instance) {
	put := r.Method == http.MethodPut
	limit := defaultHops
	if put {
		limit = max(1, n.Options.HopLimit)
	}
	if err := setHops(r.Context(), limit); err != nil {
		s.Log.Warn("the hop limit of a metadata answer was not set", "instance", n.ID, "error", err)
		refuse(w, http.StatusServiceUnavailable) // a token that travels further than it may is worse than none
		return
	}
	token := r.Header.Values(tokenHeader)
	rq := &request{Service: s, ctx: r.Context(), instance: n, delivery: "1.0"}
	switch path := r.URL.Path; {
	case n.Options.Disabled:
		refuse(w, http.StatusForbidden)
		return
	case put && path == tokenPath:
		s.putToken(w, r, n)
		return
	case put, r.Method != http.MethodGet && r.Method != http.MethodHead, path == tokenPath:
		refuse(w, http.StatusMethodNotAllowed)
		return
	case len(token) > 0:
		life := s.tokenLife(n.ID, token[0], time.Now())
		if life <= 0 || len(token) > 1 {
			refuse(w, http.StatusUnauthorized)
			return
		}
		w.Header().Set(lifeHeader, strconv.Itoa(int(life/time.Second)))
		rq.delivery = "2.0"
	case n.Options.TokensRequired:
		refuse(w, http.StatusUnauthorized)
		return
	}
	kind, body, err := rq.get(r.URL.Path)
	switch {
	case err != nil:
		s.Log.Error("metadata not told", "instance", n.ID, "path", r.URL.Path, "error", err)
		refuse(w, http.StatusInternalServerError)
	case body == nil:
		refuse(w, http.StatusNotFound)
	default:
		send(w, r, kind, body)
	}
}

// request is a request that may be answered.
type request struct {
	*Service
	ctx      context.Context //nolint:containedctx // it lives as long as the request
	instance *Instance
	delivery string // the version of the service by which it came
}

// get finds what a path names: its content type and content, which is nil where there is nothing. The first part is the version: names that
// came with a later one are not there. A slash at the end makes no difference; botocore reads placement/availability-zone/.
func (rq *request) get(path string) (kind string, body []byte, err error) {
	var parts []string
	for part := range strings.SplitSeq(path, "/") {
		if part != "" {
			parts = append(parts, part)
		}
	}
	if len(parts) == 0 {
		return "text/plain", []byte(strings.Join(versions, "\n")), nil
	}
	version := parts[0]
	if !isVersion(version) {
		return "", nil, nil
	}
	var at any = rq.root()
	name := ""
	for _, part := range parts[1:] {
		t, ok := at.(tree)
		if !ok {
			return "", nil, nil
		}
		name = strings.TrimPrefix(name+"/"+part, "/")
		if introduced[name] > version { // "latest" comes after all numbers
			return "", nil, nil
		}
		if at, err = resolve(t[part]); err != nil {
			return "", nil, err
		}
	}
	switch v := at.(type) {
	case tree:
		body, err = v.list(name, version)
		return "text/plain", body, err
	case text:
		kind, body = "text/plain", []byte(v)
	case data:
		kind, body = "application/octet-stream", v
	case page:
		kind = "text/plain"
		body, err = v()
	}
	return kind, body, err
}

// send sends an answer as AWS does.
func send(w http.ResponseWriter, r *http.Request, kind string, body []byte) {
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("Accept-Ranges", "none")
	finish(w, http.StatusOK)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // a client that is gone needs no answer
	}
}

// finish sends the head of an answer. A connection carries one request, as AWS's does: so none stays open that nobody needs, and the hop limit
// of one answer is not that of another.
func finish(w http.ResponseWriter, status int) {
	w.Header().Set("Server", "EC2ws")
	w.Header().Set("Connection", "close")
	w.WriteHeader(status)
}

// refusal is the page of a refusal. source: aws
const refusal = `<?xml version="1.0" encoding="iso-8859-1"?>
<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN"
	"http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">
<html xmlns="http://www.w3.org/1999/xhtml" xml:lang="en" lang="en">
 <head>
  <title>%[1]d - %[2]s</title>
 </head>
 <body>
  <h1>%[1]d - %[2]s</h1>
 </body>
</html>
`

// refuse answers with a status alone.
func refuse(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Type", "text/html")
	finish(w, status)
	_, _ = fmt.Fprintf(w, refusal, status, http.StatusText(status)) // a client that is gone needs no answer
}
