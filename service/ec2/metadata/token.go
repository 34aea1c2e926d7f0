package metadata

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"net/http"
	"strconv"
	"time"
)

// The headers of a token. source: userguide, "Use the Instance Metadata Service to access instance metadata"
const (
	tokenHeader = "X-Aws-Ec2-Metadata-Token"
	lifeHeader  = "X-Aws-Ec2-Metadata-Token-Ttl-Seconds"
)

// mostLife is the longest life of a token, in seconds. source: userguide
const mostLife = 21600

// The parts of a token: its end, something random, and a code over both and the instance.
const (
	tokenEnd    = 4
	tokenRandom = 12
	tokenCode   = 24
	tokenSize   = tokenEnd + tokenRandom + tokenCode
)

// newToken makes a token for an instance.
func (s *Service) newToken(instance string, end time.Time) string {
	b := make([]byte, tokenEnd+tokenRandom, tokenSize)
	binary.BigEndian.PutUint32(b, uint32(end.Unix()))
	rand.Read(b[tokenEnd:])
	return base64.StdEncoding.EncodeToString(append(b, s.code(instance, b)...))
}

// code is the code of a token's first parts.
func (s *Service) code(instance string, begin []byte) []byte {
	mac := hmac.New(sha256.New, s.TokenKey)
	mac.Write(begin)
	mac.Write([]byte(instance))
	return mac.Sum(nil)[:tokenCode]
}

// tokenLife says how long a token is still good for an instance; zero when it is not.
func (s *Service) tokenLife(instance, token string, now time.Time) time.Duration {
	b, err := base64.StdEncoding.DecodeString(token)
	if err != nil || len(b) != tokenSize {
		return 0
	}
	begin := b[:tokenEnd+tokenRandom]
	if !hmac.Equal(s.code(instance, begin), b[len(begin):]) {
		return 0
	}
	return max(0, time.Unix(int64(binary.BigEndian.Uint32(begin)), 0).Sub(now))
}

// putToken answers a request for a token. A proxy's headers show that somebody is led astray to ask. source: userguide
func (s *Service) putToken(w http.ResponseWriter, r *http.Request, n *Instance) {
	if len(r.Header.Values("X-Forwarded-For")) > 0 {
		refuse(w, http.StatusForbidden)
		return
	}
	given := r.Header.Values(lifeHeader)
	if len(given) != 1 {
		refuse(w, http.StatusBadRequest)
		return
	}
	life, err := strconv.Atoi(given[0])
	if err != nil || life < 1 || life > mostLife {
		refuse(w, http.StatusBadRequest)
		return
	}
	w.Header().Set(lifeHeader, strconv.Itoa(life))
	send(w, r, "text/plain", []byte(s.newToken(n.ID, time.Now().Add(time.Duration(life)*time.Second))))
}
