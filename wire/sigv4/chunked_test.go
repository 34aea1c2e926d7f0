package sigv4

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// docKey and docNow are of the examples in the Amazon S3 API Reference.
var (
	docKey = Credentials{AccessKeyID: "AKIAIOSFODNN7EXAMPLE", SecretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}
	docNow = time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC)
)

// chunkedCase is an aws-chunked request that has been signed.
type chunkedCase struct {
	header http.Header
	body   []byte
	now    time.Time
	c      Credentials
}

// docPayload is the example of "Transferring payload in multiple chunks". Source: userguide (Amazon S3 API Reference).
func docPayload() *chunkedCase {
	return &chunkedCase{
		now: docNow, c: docKey,
		header: http.Header{
			"Authorization":                {"AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders=content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class,Signature=4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"},
			"Content-Encoding":             {"aws-chunked"},
			"Content-Length":               {"66824"},
			"X-Amz-Content-Sha256":         {"STREAMING-AWS4-HMAC-SHA256-PAYLOAD"},
			"X-Amz-Date":                   {"20130524T000000Z"},
			"X-Amz-Decoded-Content-Length": {"66560"},
			"X-Amz-Storage-Class":          {"REDUCED_REDUNDANCY"},
		},
		body: []byte("10000;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648\r\n" + strings.Repeat("a", 65536) + "\r\n" +
			"400;chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497\r\n" + strings.Repeat("a", 1024) + "\r\n" +
			"0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9\r\n\r\n"),
	}
}

// docTrailer is the example of "Including trailing headers". Source: userguide (Amazon S3 API Reference).
func docTrailer() *chunkedCase {
	return &chunkedCase{
		now: docNow, c: docKey,
		header: http.Header{
			"Authorization":                {"AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders=content-encoding;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class;x-amz-trailer,Signature=106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e"},
			"Content-Encoding":             {"aws-chunked"},
			"X-Amz-Content-Sha256":         {"STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"},
			"X-Amz-Date":                   {"20130524T000000Z"},
			"X-Amz-Decoded-Content-Length": {"66560"},
			"X-Amz-Storage-Class":          {"REDUCED_REDUNDANCY"},
			"X-Amz-Trailer":                {"x-amz-checksum-crc32c"},
		},
		body: []byte("10000;chunk-signature=b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2\r\n" + strings.Repeat("a", 65536) + "\r\n" +
			"400;chunk-signature=1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7\r\n" + strings.Repeat("a", 1024) + "\r\n" +
			"0;chunk-signature=2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992\r\n" +
			"x-amz-checksum-crc32c:sOO8/Q==\r\n" +
			"x-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n"),
	}
}

// newChunked encodes and signs a body in chunks of a size, by a straight reading of AWS's description. form is one of the
// streaming values of X-Amz-Content-Sha256; checksum names the trailer, if there is one.
func newChunked(tb testing.TB, form, checksum string, data []byte, size int) *chunkedCase {
	tb.Helper()
	r := httptest.NewRequest(http.MethodPut, "http://s3.test/bucket/key", nil)
	r.Header.Set("Content-Encoding", "aws-chunked")
	r.Header.Set("X-Amz-Decoded-Content-Length", strconv.Itoa(len(data)))
	if checksum != "" {
		r.Header.Set("X-Amz-Trailer", checksum)
	}
	if err := Sign(r, form, testKey, "us-east-1", "s3", testNow); err != nil {
		tb.Fatal(err)
	}
	key := []byte("AWS4" + testKey.SecretAccessKey)
	mac := func(key []byte, text string) []byte {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(text))
		return h.Sum(nil)
	}
	for _, part := range []string{"20261121", "us-east-1", "s3", "aws4_request"} {
		key = mac(key, part)
	}
	_, last, _ := strings.Cut(r.Header.Get("Authorization"), "Signature=")
	sign := func(kind, more, text string) string {
		last = hex.EncodeToString(mac(key, kind+"\n20261121T200752Z\n20261121/us-east-1/s3/aws4_request\n"+last+"\n"+more+HashPayload([]byte(text))))
		return last
	}

	var b bytes.Buffer
	for rest := data; ; {
		chunk := rest[:min(size, len(rest))]
		rest = rest[len(chunk):]
		fmt.Fprintf(&b, "%x", len(chunk))
		if form != StreamingUnsignedTrailer {
			b.WriteString(";chunk-signature=" + sign("AWS4-HMAC-SHA256-PAYLOAD", EmptyPayload+"\n", string(chunk)))
		}
		b.WriteString("\r\n")
		if len(chunk) == 0 {
			break
		}
		b.Write(chunk)
		b.WriteString("\r\n")
	}
	if checksum != "" {
		sum := NewChecksum(checksum)
		sum.Write(data)
		value := base64.StdEncoding.EncodeToString(sum.Sum(nil))
		b.WriteString(checksum + ":" + value + "\r\n")
		if form == StreamingPayloadTrailer {
			b.WriteString("x-amz-trailer-signature:" + sign("AWS4-HMAC-SHA256-TRAILER", "", checksum+":"+value+"\n") + "\r\n")
		}
	}
	b.WriteString("\r\n")
	return &chunkedCase{header: r.Header, body: b.Bytes(), now: testNow, c: testKey}
}

// decode verifies the request and reads its body through wrap.
func (c *chunkedCase) decode(wrap func(io.Reader) io.Reader) ([]byte, *Body, error) {
	r := httptest.NewRequest(http.MethodPut, "http://s3.test/bucket/key", nil)
	if c.now.Equal(docNow) {
		r = httptest.NewRequest(http.MethodPut, "https://s3.amazonaws.com/examplebucket/chunkObject.txt", nil)
	}
	r.Header = c.header
	r.Body = io.NopCloser(wrap(bytes.NewReader(c.body)))
	s, err := Parse(r)
	if err != nil {
		return nil, nil, err
	}
	if err := s.Verify(r, nil, Key{Secret: c.c.SecretAccessKey}, c.now, Options{Region: "us-east-1", Service: "s3"}); err != nil {
		return nil, nil, err
	}
	b, err := NewBody(r, s)
	if err != nil {
		return nil, nil, err
	}
	data, err := io.ReadAll(b)
	return data, b, err
}

// plainly reads as it comes.
func plainly(r io.Reader) io.Reader { return r }

// TestBodyDocumented decodes AWS's own examples, read in every way a connection may deliver them.
func TestBodyDocumented(t *testing.T) {
	for name, c := range map[string]*chunkedCase{"payload": docPayload(), "trailer": docTrailer()} {
		for way, wrap := range map[string]func(io.Reader) io.Reader{"whole": plainly, "byte by byte": iotest.OneByteReader, "halves": iotest.HalfReader, "with error": iotest.DataErrReader} {
			t.Run(name+" "+way, func(t *testing.T) {
				data, b, err := c.decode(wrap)
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(data, bytes.Repeat([]byte("a"), 66560)) || b.Length() != 66560 {
					t.Errorf("%d bytes, length %d", len(data), b.Length())
				}
				if got, value := b.Trailer(); name == "trailer" && (got != "x-amz-checksum-crc32c" || value != "sOO8/Q==") {
					t.Errorf("trailer %s: %s", got, value)
				}
			})
		}
	}
}

// TestBodyForms decodes every form and every checksum, in several sizes of chunks.
func TestBodyForms(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789"), 4000)
	for _, n := range []int{0, 1, minChunk, minChunk + 1, len(data)} {
		for _, size := range []int{minChunk, minChunk + 1, 1 << 20} {
			for _, form := range []string{StreamingPayload, StreamingPayloadTrailer, StreamingUnsignedTrailer} {
				for _, checksum := range []string{"", "x-amz-checksum-crc32", "x-amz-checksum-crc32c", "x-amz-checksum-crc64nvme", "x-amz-checksum-sha1", "x-amz-checksum-sha256"} {
					if (checksum == "") == (form == StreamingPayloadTrailer) || checksum != "" && form == StreamingPayload {
						continue
					}
					got, b, err := newChunked(t, form, checksum, data[:n], size).decode(plainly)
					if err != nil || !bytes.Equal(got, data[:n]) {
						t.Fatalf("%s %s, %d bytes in chunks of %d: %d bytes, %v", form, checksum, n, size, len(got), err)
					}
					if name, _ := b.Trailer(); name != checksum {
						t.Errorf("trailer %q, want %q", name, checksum)
					}
				}
			}
		}
	}
}

// TestBodyChecksums compares checksums with published check values. Source: the catalogue of parametrised CRC algorithms
// (CRC-32/ISO-HDLC, CRC-32/ISCSI, CRC-64/NVME) and FIPS 180.
func TestBodyChecksums(t *testing.T) {
	for name, want := range map[string]string{
		"x-amz-checksum-crc32":     "cbf43926",
		"x-amz-checksum-crc32c":    "e3069283",
		"x-amz-checksum-crc64nvme": "ae8b14860a799888",
		"x-amz-checksum-sha1":      "f7c3bc1d808e04732adf679965ccc34ca7ae3441",
		"x-amz-checksum-sha256":    "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225",
	} {
		sum := NewChecksum(name)
		sum.Write([]byte("123456789"))
		compare(t, name, hex.EncodeToString(sum.Sum(nil)), want)
	}
	if NewChecksum("x-amz-checksum-md4") != nil {
		t.Error("an unknown checksum is known")
	}
}

// TestBodyLenient decodes what some clients write differently.
func TestBodyLenient(t *testing.T) {
	trailer := docTrailer()
	for name, edit := range map[string]func(string) string{
		"no empty line at the end": func(b string) string { return strings.TrimSuffix(b, "\r\n") },
		"minio-go's line breaks":   func(b string) string { return strings.Replace(b, "sOO8/Q==\r\n", "sOO8/Q==\n\r\n", 1) },
		"spaces and capitals": func(b string) string {
			return strings.Replace(b, "x-amz-checksum-crc32c:", "X-Amz-Checksum-Crc32c: ", 1)
		},
		"capital hex": func(b string) string { return strings.Replace(b, "\r\n400;", "\r\n0400;", 1) },
	} {
		c := *trailer
		c.body = []byte(edit(string(trailer.body)))
		if bytes.Equal(c.body, trailer.body) {
			t.Fatalf("%s: nothing changed", name)
		}
		if _, _, err := c.decode(plainly); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestBodyRefused decodes what must not be accepted.
func TestBodyRefused(t *testing.T) {
	small := func(form, checksum string) *chunkedCase {
		return newChunked(t, form, checksum, []byte("hello"), minChunk)
	}
	edit := func(c *chunkedCase, old, new string) *chunkedCase {
		if !bytes.Contains(c.body, []byte(old)) {
			t.Fatalf("no %q in %q", old, c.body)
		}
		c.body = bytes.Replace(c.body, []byte(old), []byte(new), 1)
		return c
	}
	cut := func(c *chunkedCase, n int) *chunkedCase {
		c.body = c.body[:len(c.body)-n]
		return c
	}
	crc32 := "x-amz-checksum-crc32"
	for _, tt := range []struct {
		name string
		c    *chunkedCase
		want Reason
	}{
		{"changed data", edit(small(StreamingPayload, ""), "hello", "hallo"), Mismatch},
		{"changed data, unsigned", edit(small(StreamingUnsignedTrailer, crc32), "hello", "hallo"), BadDigest},
		{"signature of another chunk", edit(docPayload(), "400;chunk-signature=0055627c", "400;chunk-signature=ad80c730"), Mismatch},
		{"changed last signature", edit(docPayload(), "b6c6ea8a", "b6c6ea8b"), Mismatch},
		{"capital signature", edit(docPayload(), "b6c6ea8a", "B6C6EA8A"), Mismatch},
		{"no signature", edit(small(StreamingPayload, ""), ";chunk-signature=", ";"), IncompleteBody},
		{"no extension", edit(docPayload(), "10000;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648", "10000"), IncompleteBody},
		{"signature where there is none", edit(small(StreamingUnsignedTrailer, crc32), "5\r\n", "5;chunk-signature=00\r\n"), IncompleteBody},
		{"bare line feed", edit(small(StreamingUnsignedTrailer, crc32), "5\r\n", "5\n"), IncompleteBody},
		{"no line break after a chunk", edit(small(StreamingUnsignedTrailer, crc32), "hello\r\n", "hello"), IncompleteBody},
		{"more after a chunk", edit(small(StreamingUnsignedTrailer, crc32), "hello\r\n", "hello!\r\n"), IncompleteBody},
		{"size with sign", edit(small(StreamingUnsignedTrailer, crc32), "5\r\n", "+5\r\n"), IncompleteBody},
		{"size without digits", edit(small(StreamingUnsignedTrailer, crc32), "5\r\n", "\r\n"), IncompleteBody},
		{"size beyond 63 bits", edit(small(StreamingUnsignedTrailer, crc32), "5\r\n", "ffffffffffffffff\r\n"), IncompleteBody},
		{"more data than announced", edit(small(StreamingUnsignedTrailer, crc32), "0\r\n", "1\r\nx\r\n0\r\n"), BadChunkSize},
		{"larger chunk than announced", edit(small(StreamingUnsignedTrailer, crc32), "5\r\n", "6\r\n"), IncompleteBody},
		{"endless line", edit(small(StreamingUnsignedTrailer, crc32), "5\r\n", strings.Repeat("0", 1<<20)), IncompleteBody},
		{"cut in the last line", cut(docPayload(), 6), IncompleteBody},
		{"cut in the data", cut(docPayload(), 500), IncompleteBody},
		{"trailer missing", edit(docTrailer(), "x-amz-checksum-crc32c:sOO8/Q==\r\n", ""), BadTrailer},
		{"trailer cut", cut(docTrailer(), 100), IncompleteBody},
		{"other trailer", edit(small(StreamingUnsignedTrailer, crc32), "crc32:", "sha1:"), BadTrailer},
		{"two trailers", edit(small(StreamingUnsignedTrailer, crc32), "x-amz-checksum-crc32:", "a:b\r\nx-amz-checksum-crc32:"), BadTrailer},
		{"changed trailer", edit(docTrailer(), "sOO8/Q==", "sOO8/A=="), Mismatch},
		{"changed trailer signature", edit(docTrailer(), "d81f82fc", "d81f82fd"), Mismatch},
		{"no trailer signature", edit(docTrailer(), "x-amz-trailer-signature:", "x-amz-other:"), BadTrailer},
		{"data after the end", edit(small(StreamingUnsignedTrailer, crc32), "\r\n\r\n", "\r\n\r\nx"), BadTrailer},
		{"unannounced trailer", edit(small(StreamingPayload, ""), "\r\n\r\n", "\r\na:b\r\n\r\n"), BadTrailer},
		{"small chunk in between", newChunked(t, StreamingPayload, "", make([]byte, 30), 10), BadChunkSize},
		{"body shorter than announced", edit(small(StreamingUnsignedTrailer, crc32), "5\r\nhello\r\n", ""), IncompleteBody},
	} {
		data, _, err := tt.c.decode(plainly)
		var refused *Error
		if !errors.As(err, &refused) || refused.Reason != tt.want {
			t.Errorf("%s: %d bytes and %v, want %s", tt.name, len(data), err, tt.want)
		}
	}
}

// TestBodyHeadersRefused looks at requests that are well signed but do not say what an aws-chunked body needs.
func TestBodyHeadersRefused(t *testing.T) {
	for _, tt := range []struct {
		name string
		set  http.Header
		want Reason
	}{
		{"no length", http.Header{"X-Amz-Content-Sha256": {StreamingUnsignedTrailer}}, MissingLength},
		{"no number as length", http.Header{"X-Amz-Content-Sha256": {StreamingUnsignedTrailer}, "X-Amz-Decoded-Content-Length": {"many"}}, MissingLength},
		{"negative length", http.Header{"X-Amz-Content-Sha256": {StreamingUnsignedTrailer}, "X-Amz-Decoded-Content-Length": {"-1"}}, MissingLength},
		{"trailer that is no checksum", http.Header{"X-Amz-Content-Sha256": {StreamingUnsignedTrailer}, "X-Amz-Decoded-Content-Length": {"0"}, "X-Amz-Trailer": {"x-amz-meta-a"}}, BadPayload},
		{"two trailers", http.Header{"X-Amz-Content-Sha256": {StreamingUnsignedTrailer}, "X-Amz-Decoded-Content-Length": {"0"}, "X-Amz-Trailer": {"x-amz-checksum-sha1,x-amz-checksum-crc32"}}, BadPayload},
		{"trailer of a plain body", http.Header{"X-Amz-Content-Sha256": {UnsignedPayload}, "X-Amz-Trailer": {"x-amz-checksum-sha1"}}, BadTrailer},
	} {
		r := httptest.NewRequest(http.MethodPut, "http://s3.test/bucket/key", strings.NewReader("0\r\n\r\n"))
		r.Header = tt.set
		_, err := NewBody(r, nil)
		var refused *Error
		if !errors.As(err, &refused) || refused.Reason != tt.want {
			t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
		}
	}
	for _, tt := range []struct {
		form, trailer string
		want          Reason
	}{{StreamingPayload, "x-amz-checksum-sha1", BadTrailer}, {StreamingPayloadTrailer, "", BadTrailer}} {
		c := newChunked(t, tt.form, tt.trailer, nil, minChunk)
		_, _, err := c.decode(plainly)
		var refused *Error
		if !errors.As(err, &refused) || refused.Reason != tt.want {
			t.Errorf("%s with trailer %q: %v, want %s", tt.form, tt.trailer, err, tt.want)
		}
	}
}

// TestBodyBroken passes on the error of a connection, for which the client is not to blame.
func TestBodyBroken(t *testing.T) {
	c := docPayload()
	broken := errors.New("broken")
	for _, n := range []int64{0, 50, 5000, 65700, 66823} {
		_, _, err := c.decode(func(r io.Reader) io.Reader { return io.MultiReader(io.LimitReader(r, n), iotest.ErrReader(broken)) })
		if !errors.Is(err, broken) {
			t.Errorf("after %d bytes: %v", n, err)
		}
	}
}

// TestBodyNotVerified asks for a signed body before its request is verified.
func TestBodyNotVerified(t *testing.T) {
	r := httptest.NewRequest(http.MethodPut, "https://s3.amazonaws.com/examplebucket/chunkObject.txt", nil)
	r.Header = docPayload().header
	s, err := Parse(r)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewBody(r, s); !errors.Is(err, errNotVerified) {
		t.Errorf("%v, want %v", err, errNotVerified)
	}
}

// TestBodyPlain reads bodies that are not aws-chunked: unsigned ones, and ones whose hash is announced.
func TestBodyPlain(t *testing.T) {
	for _, tt := range []struct {
		payload string
		want    Reason
	}{{UnsignedPayload, ""}, {HashPayload([]byte("hello")), ""}, {HashPayload([]byte("hallo")), PayloadMismatch}} {
		r := httptest.NewRequest(http.MethodPut, "http://s3.test/bucket/key", strings.NewReader("hello"))
		if err := Sign(r, tt.payload, testKey, "us-east-1", "s3", testNow); err != nil {
			t.Fatal(err)
		}
		s, err := Parse(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Verify(r, nil, Key{Secret: testKey.SecretAccessKey}, testNow, Options{}); err != nil {
			t.Fatal(err)
		}
		b, err := NewBody(r, s)
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(b)
		var refused *Error
		switch {
		case tt.want == "" && (err != nil || string(data) != "hello" || b.Length() != 5):
			t.Errorf("%s: %q, %v", tt.payload, data, err)
		case tt.want != "" && (!errors.As(err, &refused) || refused.Reason != tt.want):
			t.Errorf("%s: %v, want %s", tt.payload, err, tt.want)
		}
	}
}

// TestBodyFlipped flips every bit of small aws-chunked bodies. A flip must be refused or change nothing.
func TestBodyFlipped(t *testing.T) {
	for _, c := range []*chunkedCase{
		newChunked(t, StreamingPayload, "", []byte("hello"), minChunk),
		newChunked(t, StreamingPayloadTrailer, "x-amz-checksum-sha256", []byte("hello"), minChunk),
		newChunked(t, StreamingUnsignedTrailer, "x-amz-checksum-crc32", []byte("hello"), minChunk),
	} {
		for i := range c.body {
			for bit := range 8 {
				flipped := *c
				flipped.body = bytes.Clone(c.body)
				flipped.body[i] ^= 1 << bit
				if data, _, err := flipped.decode(plainly); err == nil && string(data) != "hello" {
					t.Errorf("flip of bit %d at %d gives %q:\n%q", bit, i, data, flipped.body)
				}
			}
		}
	}
}

// endless is a text that repeats itself.
type endless struct {
	text string
	read int
}

// Read reads on.
func (e *endless) Read(p []byte) (n int, err error) {
	for n < len(p) {
		i := copy(p[n:], e.text[e.read:])
		n += i
		e.read = (e.read + i) % len(e.text)
	}
	return n, nil
}

// TestBodyAllocations decodes a body of 64 MiB and expects the memory of a small one.
func TestBodyAllocations(t *testing.T) {
	const chunks, size = 1024, 64 << 10
	chunk := fmt.Sprintf("%x\r\n%s\r\n", size, strings.Repeat("x", size))
	n := testing.AllocsPerRun(1, func() {
		r := httptest.NewRequest(http.MethodPut, "http://s3.test/bucket/key", nil)
		r.Body = io.NopCloser(io.MultiReader(io.LimitReader(&endless{text: chunk}, int64(chunks*len(chunk))), strings.NewReader("0\r\n\r\n")))
		r.Header.Set("X-Amz-Content-Sha256", StreamingUnsignedTrailer)
		r.Header.Set("X-Amz-Decoded-Content-Length", strconv.Itoa(chunks*size))
		b, err := NewBody(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, b); n != chunks*size || err != nil {
			t.Fatal(n, err)
		}
	})
	if n > 2*chunks+100 {
		t.Errorf("%v allocations for %d chunks", n, chunks)
	}
}

// BenchmarkBody measures decoding of chunks of 64 KiB.
func BenchmarkBody(b *testing.B) {
	for _, form := range []string{StreamingPayload, StreamingUnsignedTrailer} {
		b.Run(form, func(b *testing.B) {
			c := newChunked(b, form, "", make([]byte, 1<<20), 64<<10)
			b.SetBytes(1 << 20)
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := c.decode(plainly); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// FuzzChunked decodes whatever comes, in all forms; then encodes it properly, decodes it, and decodes it with a bit flipped.
func FuzzChunked(f *testing.F) {
	for _, c := range []*chunkedCase{docPayload(), docTrailer(), newChunked(f, StreamingUnsignedTrailer, "x-amz-checksum-crc32", []byte("hello"), minChunk)} {
		f.Add(c.body, uint16(5), uint16(7), uint8(1))
	}
	f.Add([]byte("5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n"), uint16(5), uint16(300), uint8(2))
	f.Fuzz(func(t *testing.T, data []byte, length, flip uint16, kind uint8) {
		form := []string{StreamingPayload, StreamingPayloadTrailer, StreamingUnsignedTrailer}[kind%3]
		checksum := ""
		if form != StreamingPayload {
			checksum = "x-amz-checksum-crc32"
		}
		c := newChunked(t, form, checksum, make([]byte, length), minChunk)
		c.body = data
		if got, _, err := c.decode(plainly); len(got) > int(length) || err == nil && len(got) != int(length) {
			t.Fatalf("%d bytes of %d, %v", len(got), length, err)
		} else if err == nil && form != StreamingUnsignedTrailer && !bytes.Equal(got, make([]byte, length)) {
			t.Fatalf("a forged body is accepted: %q", data)
		}

		c = newChunked(t, form, checksum, data, minChunk+int(length))
		got, _, err := c.decode(plainly)
		if err != nil || !bytes.Equal(got, data) {
			t.Fatalf("%q becomes %q, %v", data, got, err)
		}
		c.body[int(flip)%len(c.body)] ^= 1 << (kind >> 4 & 7)
		if got, _, err := c.decode(plainly); err == nil && !bytes.Equal(got, data) {
			t.Fatalf("a flip turns %q into %q", data, got)
		}
	})
}
