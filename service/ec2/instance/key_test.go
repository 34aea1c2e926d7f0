package instance

import "testing"

// FuzzParseKey reads whatever somebody imports: it says what it is, or that it is none.
func FuzzParseKey(f *testing.F) {
	f.Add([]byte("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIH6JhKF+x++oG9KhytE7lHLA02UPrjALOHZ+etYbgFZd"))
	f.Add([]byte("ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQC7"))
	f.Add([]byte("MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA"))
	f.Fuzz(func(t *testing.T, material []byte) {
		key, err := parseKey(material)
		if err != nil {
			return
		}
		again, err := parseKey([]byte(key.line))
		if err != nil || *again != *key {
			t.Errorf("%q is %+v, and read again %+v, %v", material, key, again, err)
		}
	})
}
