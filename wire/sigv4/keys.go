package sigv4

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"sync"
)

// KeyCache keeps derived keys, so that a request costs one HMAC instead of five. It is safe for concurrent use. Its memory is
// bounded: when its younger half is full, its older half is forgotten. Only keys that have verified a request enter it, so
// nobody can flush it without a secret.
type KeyCache struct {
	half int // most keys in each half

	mu         sync.RWMutex // guards the halves
	young, old map[keyName]*signingKey
}

// keyName names a derived key by all that it is derived from.
type keyName struct{ secret, date, region, service string }

// NewKeyCache returns a cache of at most size keys; 0 means 4096.
func NewKeyCache(size int) *KeyCache {
	if size <= 0 {
		size = 4096
	}
	return &KeyCache{half: max(1, size/2), young: make(map[keyName]*signingKey)}
}

// get returns a key, and whether it came from the cache rather than being derived. A nil cache derives.
func (c *KeyCache) get(name keyName) (key *signingKey, cached bool) {
	if c == nil {
		return newSigningKey(name), false
	}
	c.mu.RLock()
	key, young := c.young[name]
	if !young {
		key = c.old[name]
	}
	c.mu.RUnlock()
	switch {
	case key == nil:
		return newSigningKey(name), false
	case !young:
		c.put(name, key)
	}
	return key, true
}

// put remembers a key.
func (c *KeyCache) put(name keyName, key *signingKey) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.young) >= c.half {
		c.old, c.young = c.young, make(map[keyName]*signingKey)
	}
	c.young[name] = key
}

// signingKey is a derived key together with HMACs that are already keyed with it.
type signingKey struct {
	key  []byte
	pool sync.Pool // of *signer
}

// signer computes one signature at a time, in buffers of its own.
type signer struct {
	mac  hash.Hash
	text []byte // the text to sign, filled by the caller
	sum  [sha256.Size]byte
	hex  [2 * sha256.Size]byte
}

// newSigningKey derives a key.
func newSigningKey(n keyName) *signingKey {
	key := []byte("AWS4" + n.secret)
	for _, part := range [...]string{n.date, n.region, n.service, terminator} {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	return &signingKey{key: key}
}

// signer returns a signer for this key with an empty text; give it back with done.
func (k *signingKey) signer() *signer {
	if s, _ := k.pool.Get().(*signer); s != nil {
		s.text = s.text[:0]
		return s
	}
	return &signer{mac: hmac.New(sha256.New, k.key)}
}

// done takes a signer back.
func (k *signingKey) done(s *signer) { k.pool.Put(s) }

// sign returns the signature of the text in lower-case hex, valid until the signer is used again.
func (s *signer) sign() []byte {
	s.mac.Reset()
	s.mac.Write(s.text)
	hex.Encode(s.hex[:], s.mac.Sum(s.sum[:0]))
	return s.hex[:]
}
