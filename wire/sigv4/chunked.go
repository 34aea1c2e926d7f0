package sigv4

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"net/http"
	"strconv"
	"strings"
)

const (
	// minChunk is the least size of every aws-chunked chunk but the last. Source: userguide (S3, "Transferring payload in multiple chunks").
	minChunk = 8192
	// maxLine bounds a line between chunks; a longer one is malformed.
	maxLine = 4096
	// trailerSignature is the name under which a trailer's signature travels.
	trailerSignature = "x-amz-trailer-signature"
)

// errNotVerified reports a caller that reads a chunk-signed body before it has verified the request.
var errNotVerified = errors.New("sigv4: verify the request before its chunks")

// Body is the body of an S3 request as the client meant it: without aws-chunked framing, and checked. Its memory does not
// grow with the body.
//
// Read returns data before it is fully checked. What has been read counts only once Read has returned io.EOF; any other
// error, an [*Error] where the client is to blame, means that none of it may be kept.
type Body struct {
	io.Reader
	length int64
	chunks *chunkReader
}

// NewBody returns the body of an S3 request whose signature s has been verified; s is nil for an unsigned request.
func NewBody(r *http.Request, s *Signature) (*Body, error) {
	if s == nil {
		s = &Signature{s3: true}
		if err := s.setFromHeaders(r); err != nil {
			return nil, err
		}
	}
	src := io.Reader(r.Body)
	if r.Body == nil {
		src = http.NoBody
	}
	switch {
	case s.streams():
		return s.newChunkedBody(r, src)
	case r.Header["X-Amz-Trailer"] != nil:
		return nil, s.badTrailer()
	case isHash(s.ContentSHA256):
		src = &hashReader{src: src, sum: sha256.New(), signature: s}
	}
	return &Body{Reader: src, length: r.ContentLength}, nil
}

// Length returns the number of bytes that the body is to have, or -1 if it is not known.
func (b *Body) Length() int64 { return b.length }

// Trailer returns the checksum that followed the body, such as "x-amz-checksum-crc32" and its value in base64, after Read
// has returned io.EOF; "" if there was none.
func (b *Body) Trailer() (name, value string) {
	if b.chunks == nil {
		return "", ""
	}
	return b.chunks.trailer, b.chunks.value
}

// hashReader checks a body against the hash in X-Amz-Content-Sha256.
type hashReader struct {
	src       io.Reader
	sum       hash.Hash
	signature *Signature
}

// Read reads on, and at the end compares the hashes.
func (h *hashReader) Read(p []byte) (int, error) {
	n, err := h.src.Read(p)
	h.sum.Write(p[:n])
	if errors.Is(err, io.EOF) {
		if bad := h.signature.checkPayload((*Hash)(h.sum.Sum(nil))); bad != nil {
			err = bad
		}
	}
	return n, err
}

// newChunkedBody begins to decode an aws-chunked body.
func (s *Signature) newChunkedBody(r *http.Request, src io.Reader) (*Body, error) {
	c := &chunkReader{signature: s, src: bufio.NewReaderSize(src, maxLine)}
	length := r.Header["X-Amz-Decoded-Content-Length"]
	if len(length) != 1 {
		return nil, s.refuse(MissingLength, "You must provide the Content-Length HTTP header.") // source: aws
	}
	var err error
	if c.missing, err = strconv.ParseInt(length[0], 10, 64); err != nil || c.missing < 0 {
		return nil, s.refuse(MissingLength, "You must provide the Content-Length HTTP header.")
	}
	trailers := r.Header["X-Amz-Trailer"]
	switch s.ContentSHA256 {
	case StreamingPayload:
		c.signed = true
		if len(trailers) > 0 {
			return nil, s.badTrailer()
		}
	case StreamingPayloadTrailer:
		c.signed = true
		if len(trailers) == 0 {
			return nil, s.badTrailer()
		}
	}
	if len(trailers) > 0 {
		c.trailer = strings.ToLower(strings.TrimSpace(strings.Join(trailers, ",")))
		if c.checksum = NewChecksum(c.trailer); c.checksum == nil {
			return nil, s.refuse(BadPayload, "The value specified in the x-amz-trailer header is not supported") // source: aws
		}
	}
	if c.signed {
		if s.verifiedBy == nil {
			return nil, errNotVerified
		}
		c.sum = sha256.New()
		c.previous = append(c.previous, s.Value...)
	}
	return &Body{Reader: c, length: c.missing, chunks: c}, nil
}

// chunkReader decodes an aws-chunked body and checks its signatures and its trailer.
type chunkReader struct {
	signature *Signature
	src       *bufio.Reader
	signed    bool   // whether chunks carry signatures
	err       error  // what Read returns from now on
	missing   int64  // bytes of the body that no chunk has announced yet
	left      int64  // bytes of this chunk that have not been read
	number    int    // of this chunk, from 1
	size      int64  // of this chunk
	announced []byte // this chunk's signature in hex, if signed
	previous  []byte // the signature before it
	sum       hash.Hash
	checksum  hash.Hash // of the whole body, for the trailer; nil without one
	trailer   string    // name of the checksum that is to follow; "" for none
	value     string    // its value, once it has been read
}

// Read returns the next bytes of the body.
func (c *chunkReader) Read(p []byte) (n int, err error) {
	if len(p) == 0 {
		return 0, nil
	}
	for n == 0 && c.err == nil {
		if c.left == 0 {
			c.err = c.next()
			continue
		}
		n, err = c.src.Read(p[:min(int64(len(p)), c.left)])
		if c.signed {
			c.sum.Write(p[:n])
		}
		if c.checksum != nil {
			c.checksum.Write(p[:n])
		}
		if c.left -= int64(n); c.left == 0 {
			c.err = c.endChunk()
		} else if err != nil {
			c.err = c.cut(err)
		}
	}
	return n, c.err
}

// next reads the line before a chunk, and if that is the last one, all that follows. It returns io.EOF at the end.
func (c *chunkReader) next() error {
	line, err := c.line()
	if err != nil {
		return err
	}
	text, signature, found := bytes.Cut(line, []byte(";"))
	if found != c.signed {
		return c.incomplete()
	}
	if c.signed {
		if signature, found = bytes.CutPrefix(signature, []byte("chunk-signature=")); !found {
			return c.incomplete()
		}
		c.announced = append(c.announced[:0], signature...)
		c.sum.Reset()
	}
	size, err := strconv.ParseUint(string(text), 16, 63)
	if err != nil {
		return c.incomplete()
	}
	last := c.size
	c.size = int64(size)
	c.number++
	if c.size > 0 {
		if c.number > 1 && last < minChunk { // source: aws
			return c.signature.refuse(BadChunkSize, "Only the last chunk is allowed to have a size less than 8192 bytes",
				Field{"Chunk", strconv.Itoa(c.number)}, Field{"BadChunkSize", strconv.FormatInt(last, 10)})
		}
		if c.size > c.missing {
			return c.incomplete()
		}
		c.missing -= c.size
		c.left = c.size
		return nil
	}
	if c.missing > 0 {
		return c.incomplete()
	}
	if err := c.checkChunk(); err != nil {
		return err
	}
	if err := c.readTrailer(); err != nil {
		return err
	}
	if _, err := c.src.ReadByte(); err == nil {
		return c.signature.badTrailer()
	} else if err != io.EOF {
		return c.cut(err)
	}
	return io.EOF
}

// endChunk reads the line break after a chunk and checks the chunk's signature.
func (c *chunkReader) endChunk() error {
	if line, err := c.line(); err != nil {
		return err
	} else if len(line) > 0 {
		return c.incomplete()
	}
	return c.checkChunk()
}

// checkChunk compares the signature of this chunk with the one that its data gives.
func (c *chunkReader) checkChunk() error {
	if !c.signed {
		return nil
	}
	var hash Hash
	return c.check("AWS4-HMAC-SHA256-PAYLOAD\n", "\n"+EmptyPayload, c.sum.Sum(hash[:0]))
}

// check compares the announced signature with the one over kind, time, scope, the signature before it, more, and a hash; and
// makes it the signature before the next one.
func (c *chunkReader) check(kind, more string, hash []byte) error {
	s := c.signature
	signer := s.verifiedBy.signer()
	defer s.verifiedBy.done(signer)
	t := append(signer.text, kind...)
	t = append(t, s.stamp...)
	t = append(t, '\n')
	t = append(t, s.scope...)
	t = append(t, '\n')
	t = append(t, c.previous...)
	t = append(t, more...)
	t = append(t, '\n')
	signer.text = hex.AppendEncode(t, hash)
	if subtle.ConstantTimeCompare(signer.sign(), c.announced) != 1 {
		return s.mismatch()
	}
	c.previous = append(c.previous[:0], c.announced...)
	return nil
}

// readTrailer reads what follows the last chunk: the checksum that was announced, its signature, and an empty line, which some
// clients leave out.
func (c *chunkReader) readTrailer() error {
	if c.trailer != "" {
		if err := c.readChecksum(); err != nil {
			return err
		}
	}
	if _, err := c.src.Peek(1); err == io.EOF {
		return nil
	}
	if line, err := c.line(); err != nil {
		return err
	} else if len(line) > 0 {
		return c.signature.badTrailer()
	}
	return nil
}

// readChecksum reads the checksum of the body and its signature, and checks both.
func (c *chunkReader) readChecksum() error {
	name, value, err := c.trailerLine()
	switch {
	case err != nil:
		return err
	case name != c.trailer:
		return c.signature.badTrailer()
	}
	if c.signed {
		name, signature, err := c.trailerLine()
		if err == nil && name == "" { // minio-go writes a line break too many
			name, signature, err = c.trailerLine()
		}
		switch {
		case err != nil:
			return err
		case name != trailerSignature:
			return c.signature.badTrailer()
		}
		c.announced = append(c.announced[:0], signature...)
		hash := sha256.Sum256([]byte(c.trailer + ":" + value + "\n"))
		if err := c.check("AWS4-HMAC-SHA256-TRAILER\n", "", hash[:]); err != nil {
			return err
		}
	}
	if value != base64.StdEncoding.EncodeToString(c.checksum.Sum(nil)) { // source: aws
		algorithm := strings.ToUpper(strings.TrimPrefix(name, "x-amz-checksum-"))
		return c.signature.refuse(BadDigest, "The "+algorithm+" you specified did not match the calculated checksum.")
	}
	c.value = value
	return nil
}

// trailerLine reads a line "name:value" of a trailer, with the name in lower case.
func (c *chunkReader) trailerLine() (name, value string, err error) {
	line, err := c.rawLine()
	name, value, _ = strings.Cut(string(line), ":")
	return strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value), err
}

// line reads a line between chunks, which ends in CR LF, and returns it without that; valid until the next read.
func (c *chunkReader) line() ([]byte, error) {
	line, err := c.rawLine()
	if err != nil {
		return nil, err
	}
	line, ok := bytes.CutSuffix(line, []byte("\r"))
	if !ok {
		return nil, c.incomplete()
	}
	return line, nil
}

// rawLine reads up to a line feed and returns what was before it; valid until the next read.
func (c *chunkReader) rawLine() ([]byte, error) {
	line, err := c.src.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return nil, c.incomplete()
	} else if err != nil {
		return nil, c.cut(err)
	}
	return line[:len(line)-1], nil
}

// cut returns the error for a body that ends, or fails, before its time.
func (c *chunkReader) cut(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return c.incomplete()
	}
	return err
}

// incomplete refuses a body that is not framed as aws-chunked wants it. Source: aws.
func (c *chunkReader) incomplete() *Error {
	return c.signature.refuse(IncompleteBody, "The request body terminated unexpectedly")
}

// badTrailer refuses a trailer. Source: aws.
func (s *Signature) badTrailer() *Error {
	return s.refuse(BadTrailer, "The request contained trailing data that was not well-formed or did not conform to our published schema.")
}
