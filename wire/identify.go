package wire

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/wire/sigv4"
)

// ownPaths is where the server's own pages are: no bucket can have that name.
const ownPaths = "/_vennel/"

// regionHeader names the Region of an unsigned request that is sent to an address instead of a name.
const regionHeader = "X-Vennel-Region"

// healthPath is answered without a signature; it says only that the server is up.
const healthPath = ownPaths + "health"

// dataChannels is where clients of sessions come, unsigned and often to a plain address. No bucket has a name of two characters.
const dataChannels = "/v1/data-channel/"

// identify says which service and Region a request is for, and reads its signature and body. The
// service stays nil where nothing names one of ours.
//
// A name under one of AWS's own domains is an endpoint: it says which service and Region is meant,
// and a signature for another is refused, in AWS's words, when it is verified. Any other name may
// be somebody's alias for this whole server, so there the signature's scope decides, then the
// X-Amz-Target, then the name if it is SERVICE.REGION.DOMAIN, then the path, which only S3 has, and
// last Action and Version.
//
// Behind a VPC endpoint there is one service of one Region, whatever a request says.
func (m *Mux) identify(rq *request) error {
	sig, sigErr := sigv4.Parse(rq.Request)
	rq.sig = sig
	host := parseHost(rq.Host, m.Serves)
	rq.bucket = host.bucket
	prefix, _ := splitTarget(rq.Header.Get(targetHeader))
	endpoint := rq.call.Endpoint
	switch {
	case endpoint != nil:
		rq.svc = m.services[endpoint.Service()]
	case host.aws && host.service != "":
		rq.svc = m.services[host.service]
	case sig != nil && m.services[sig.Service] != nil:
		rq.svc = m.services[sig.Service]
	case m.targets[prefix] != nil:
		rq.svc = m.targets[prefix]
	case host.service != "":
		rq.svc = m.services[host.service]
	case sig == nil && strings.HasPrefix(rq.URL.Path, dataChannels):
		rq.svc = m.services["ssmmessages"]
	case sig == nil && rq.URL.Path != "/" && !strings.HasPrefix(rq.URL.Path, ownPaths):
		rq.svc = m.services["s3"]
	}
	switch {
	case endpoint != nil:
		rq.call.Region = endpoint.Region()
	case host.region != "" && (host.aws || sig == nil):
		rq.call.Region = host.region
	case sig != nil && api.IsRegion(sig.Region):
		rq.call.Region = sig.Region
	case sig == nil && api.IsRegion(rq.Header.Get(regionHeader)):
		rq.call.Region = rq.Header.Get(regionHeader)
	}
	err := sigErr
	if rq.svc == nil || err == nil && rq.svc.Name != "s3" { // S3's body waits for openBody
		if bad := m.readForm(rq); err == nil {
			err = bad
		}
	}
	if rq.svc != nil {
		rq.call.Service = rq.svc.Name
	}
	return err
}

// readForm reads the body of a request, and the form in it or in its query, where the service reads
// forms or is yet unknown. Of a name that is given twice the first counts. source: aws
func (m *Mux) readForm(rq *request) (err error) {
	if rq.body, err = readBody(rq.Body, rq.ContentLength); err != nil {
		return err
	}
	if rq.svc != nil && !rq.svc.isQuery() || rq.svc == nil && rq.Header.Get(targetHeader) != "" {
		return nil
	}
	text := rq.URL.RawQuery
	if strings.HasPrefix(rq.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		text = string(rq.body)
	}
	rq.form, err = url.ParseQuery(text) // of bounded length: it takes ten thousand names at most
	if err != nil {
		return &api.Error{ // source: userguide, "Common errors" of IAM
			Code: "MalformedQueryString", Status: http.StatusNotFound, Message: "The query string contains a syntax error.", Cause: err,
		}
	}
	if rq.svc == nil && rq.form.Get("Action") != "" {
		rq.svc = m.versions[rq.form.Get("Version")]
	}
	return nil
}

// mostBody is the largest body that is read into memory. The largest requests that AWS takes on
// these services are S3's lists of objects to delete, of two megabytes.
const mostBody = 2 << 20

// readBody reads a body whole. length is what the client announced, -1 if it did not.
func readBody(src io.Reader, length int64) ([]byte, error) {
	if length > mostBody { // before the client is told to go on
		return nil, tooLarge()
	}
	if length < 0 {
		length = firstBody
	}
	b := make([]byte, 0, length+1) // one more than there should be, so that the end is seen without another piece
	for {
		n, err := src.Read(b[len(b):min(cap(b), mostBody+1)])
		b = b[:len(b)+n]
		_, refused := errors.AsType[*sigv4.Error](err)
		switch {
		case len(b) > mostBody:
			return nil, tooLarge()
		case err == io.EOF: // itself: an error around it is no end
			return b, nil
		case refused:
			return nil, err
		case err != nil:
			return nil, &api.Error{Reason: api.Unserializable, Message: "The request body ended early", Cause: err}
		case len(b) == cap(b):
			b = slices.Grow(b, firstBody)
		}
	}
}

// tooLarge is the error of a body over the limit.
func tooLarge() error {
	return api.Errorf(api.TooLarge, "The request is larger than %d bytes", mostBody)
}

// pieceWait is how long the next piece of an upload may take.
const pieceWait = 30 * time.Second

// openBody reads the body of an S3 request, whose signature has been verified. An upload is not
// read but handed to the operation, which may take its time as long as something comes.
func (rq *request) openBody(w http.ResponseWriter) error {
	upload := rq.op.uploads()
	if upload {
		rq.Body = patient{rq.Body, http.NewResponseController(w)}
	}
	body, err := sigv4.NewBody(rq.Request, rq.sig)
	if err != nil {
		return err
	}
	if upload {
		rq.upload = body
		return nil
	}
	rq.body, err = readBody(body, body.Length())
	return err
}

// patient is a body for whose every piece there is time anew.
type patient struct {
	io.ReadCloser
	control *http.ResponseController
}

// Read reads the next piece.
func (p patient) Read(b []byte) (int, error) {
	if err := p.control.SetReadDeadline(time.Now().Add(pieceWait)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, err
	}
	return p.ReadCloser.Read(b)
}

// nobody answers a request that names no service of ours, in plain words: it did not come from a
// client that would understand an envelope.
func (m *Mux) nobody(rs *response, rq *request, err error) {
	rs.header.Set("Content-Type", "text/plain; charset=utf-8")
	rs.header.Set("X-Content-Type-Options", "nosniff")
	switch e, refused := errors.AsType[*sigv4.Error](err); {
	case rq.Method == http.MethodGet && rq.URL.Path == healthPath:
		rs.body = fmt.Appendln(rs.body, "ok")
	case refused:
		rs.status = http.StatusBadRequest
		rs.body = fmt.Appendln(rs.body, e.Message)
	case err != nil:
		rs.status = http.StatusBadRequest
		rs.body = fmt.Appendln(rs.body, "This request cannot be read.")
	case rq.sig != nil:
		rs.status = http.StatusNotFound
		rs.body = fmt.Appendf(rs.body, "Vennel does not serve %.100q, for which this request is signed. It serves %s.\n",
			rq.sig.Service, strings.Join(slices.Sorted(maps.Keys(m.services)), ", "))
	default:
		rs.status = http.StatusNotFound
		rs.body = fmt.Appendln(rs.body, "Vennel speaks AWS's APIs here. Run `eval \"$(vennel env)\"` and use the aws command.")
	}
}
