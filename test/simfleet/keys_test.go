package main

import (
	"testing"
)

// TestKeys makes every key of a small ring: all must be valid and different.
func TestKeys(t *testing.T) {
	r, err := newKeyring(10)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for n := range 10 {
		k, err := r.key(n)
		if err != nil {
			t.Fatal(err)
		}
		if err := k.Validate(); err != nil {
			t.Errorf("key %d: %v", n, err)
		}
		text, err := publicText(k)
		if err != nil {
			t.Fatal(err)
		}
		if seen[text] {
			t.Errorf("key %d was there already", n)
		}
		seen[text] = true
		if len(text) != 392 {
			t.Errorf("key %d has %d characters, 392 are those of 2048 bits", n, len(text))
		}
	}
	if _, err := r.key(10); err == nil {
		t.Error("five primes gave an eleventh key")
	}
}

// BenchmarkKey is the cost of a key.
func BenchmarkKey(b *testing.B) {
	r, err := newKeyring(10)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := r.key(3); err != nil {
			b.Fatal(err)
		}
	}
}
