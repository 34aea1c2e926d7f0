package sigv4

import (
	"encoding/hex"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// TestSigningKey derives the key of AWS's example. Source: userguide (IAM, "Create a signed AWS API request").
func TestSigningKey(t *testing.T) {
	key := newSigningKey(keyName{"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "20150830", "us-east-1", "iam"})
	compare(t, "key", hex.EncodeToString(key.key), "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9")
}

// TestKeyCacheBound fills a cache and looks at its size and at what it keeps.
func TestKeyCacheBound(t *testing.T) {
	c := NewKeyCache(10)
	hot := keyName{secret: "hot"}
	first, _ := c.get(hot)
	c.put(hot, first)
	for i := range 1000 {
		name := keyName{secret: strconv.Itoa(i)}
		key, cached := c.get(name)
		if cached {
			t.Fatalf("%v is cached before it has been put", name)
		}
		c.put(name, key)
		if again, cached := c.get(hot); !cached || again != first {
			t.Fatalf("a key in use is forgotten after %d others", i)
		}
		if n := len(c.young) + len(c.old); n > 10 {
			t.Fatalf("%d keys in a cache of 10", n)
		}
	}
	if _, cached := c.get(keyName{secret: "0"}); cached {
		t.Error("an old key is still there")
	}
}

// TestKeyCacheNeedsProof sends wrong signatures, which must leave nothing in the cache.
func TestKeyCacheNeedsProof(t *testing.T) {
	c := NewKeyCache(10)
	r, body := ssmRequest(t, testKey)
	if err := verifySSM(r, body, Key{Secret: "other"}, Options{Keys: c}); err == nil || len(c.young) != 0 {
		t.Errorf("%v, %d keys", err, len(c.young))
	}
	if err := verifySSM(r, body, serverKey, Options{Keys: c}); err != nil || len(c.young) != 1 {
		t.Errorf("%v, %d keys", err, len(c.young))
	}
	forged := strings.Replace(r.Header.Get("Authorization"), "Signature=", "Signature=0", 1)
	r.Header.Set("Authorization", forged[:len(forged)-1])
	if err := verifySSM(r, body, serverKey, Options{Keys: c}); err == nil {
		t.Error("a forged signature is accepted with a cached key")
	}
}

// TestKeyCacheConcurrently verifies with a small cache from many goroutines.
func TestKeyCacheConcurrently(t *testing.T) {
	c := NewKeyCache(2)
	var wait sync.WaitGroup
	for i := range 8 {
		r, body := ssmRequest(t, Credentials{AccessKeyID: "a", SecretAccessKey: strconv.Itoa(i % 4)})
		wait.Go(func() {
			for range 200 {
				if err := verifySSM(r, body, Key{Secret: strconv.Itoa(i % 4)}, Options{Keys: c}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
}
