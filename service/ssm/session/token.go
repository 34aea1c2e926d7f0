package session

import (
	"encoding/base64"
	"strconv"
	"time"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/service/ssm/session/relay"
)

// tokenLife is how long after its making a token opens a data channel.
const tokenLife = 5 * time.Minute

// tokenName is what a token is good for: one side of a session.
func tokenName(id string, role relay.Role) string {
	if role == relay.Agent {
		return "agent of " + id
	}
	return "client of " + id
}

// token makes a token for a side of a session. accepted is when the newest that was accepted was made: of two, only the later is good
// after that, so none is made that would be older, whatever the clock says.
func (s *Sessions) token(id string, role relay.Role, now time.Time, accepted int64) string {
	made := strconv.AppendInt(nil, max(now.UnixMicro(), accepted+1), 10)
	return base64.StdEncoding.EncodeToString(s.tokens.Seal(made, tokenName(id, role)))
}

// checkToken gives when a token was made, in microseconds, and refuses one that was not made for the side, or too long ago.
func (s *Sessions) checkToken(id string, role relay.Role, token string, now time.Time) (made int64, err error) {
	sealed, err := base64.StdEncoding.DecodeString(token)
	if err != nil {
		return 0, denied()
	}
	text, err := s.tokens.Open(sealed, tokenName(id, role))
	if err != nil {
		return 0, denied()
	}
	if made, err = strconv.ParseInt(string(text), 10, 64); err != nil || now.Sub(time.UnixMicro(made)) > tokenLife {
		return 0, denied()
	}
	return made, nil
}

// denied is the refusal of a token, which does not tell whoever has no other right whether there is the session.
func denied() error { return api.Errorf(api.AccessDenied, "The channel token is not valid") }
