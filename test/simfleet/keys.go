package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"math/big"

	"golang.org/x/sync/errgroup"
)

// keyring makes RSA keys that are all different and work like any other, but cost next to nothing:
// each is the product of two of a few hundred primes, where a real key has two primes of its own.
// Whoever has two such moduli finds their common prime, so they are good for simulation only.
type keyring struct {
	primes []*big.Int
}

// exponent is the public exponent of all keys.
const exponent = 65537

// primeBits is the size of a prime: half of a key's.
const primeBits = 1024

// newKeyring makes enough primes for so many keys.
func newKeyring(keys int) (*keyring, error) {
	n := 2
	for n*(n-1)/2 < keys {
		n++
	}
	r := &keyring{primes: make([]*big.Int, n)}
	var g errgroup.Group
	g.SetLimit(8)
	for i := range r.primes {
		g.Go(func() (err error) {
			r.primes[i], err = newPrime()
			return err
		})
	}
	return r, g.Wait()
}

// newPrime makes a prime that goes with the exponent.
func newPrime() (*big.Int, error) {
	for {
		p, err := rand.Prime(rand.Reader, primeBits) // its two highest bits are set, so a product has full length
		if err != nil {
			return nil, err
		}
		if new(big.Int).Mod(before(p), big.NewInt(exponent)).Sign() != 0 {
			return p, nil
		}
	}
}

// key gives the n-th pair of primes as a key.
func (r *keyring) key(n int) (*rsa.PrivateKey, error) {
	i := 0
	for n >= len(r.primes)-1-i {
		n -= len(r.primes) - 1 - i
		i++
		if i == len(r.primes)-1 {
			return nil, errors.New("more keys than pairs of primes")
		}
	}
	p, q := r.primes[i], r.primes[i+1+n]
	k := &rsa.PrivateKey{
		PublicKey: rsa.PublicKey{N: new(big.Int).Mul(p, q), E: exponent},
		Primes:    []*big.Int{p, q},
		D:         new(big.Int).ModInverse(big.NewInt(exponent), new(big.Int).Mul(before(p), before(q))),
	}
	k.Precompute()
	return k, nil
}

// before is p-1.
func before(p *big.Int) *big.Int { return new(big.Int).Sub(p, big.NewInt(1)) }

// publicText is a key as registrations carry it.
func publicText(k *rsa.PrivateKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(&k.PublicKey)
	return base64.StdEncoding.EncodeToString(der), err
}
