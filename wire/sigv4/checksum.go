package sigv4

import (
	"crypto/sha1"
	"crypto/sha256"
	"hash"
	"hash/crc32"
	"hash/crc64"
)

// nvme is the polynomial of CRC-64/NVME, bit-reversed as hash/crc64 wants it.
const nvme = 0x9a6c9329ac4bc9b5

// NewChecksum returns the hash behind one of S3's checksum headers, by the header's lower-case name, such as
// "x-amz-checksum-crc32", and nil for a name that is none. The header's value is the base64 of the hash's sum.
func NewChecksum(header string) hash.Hash {
	switch header {
	case "x-amz-checksum-crc32":
		return crc32.NewIEEE()
	case "x-amz-checksum-crc32c":
		return crc32.New(crc32.MakeTable(crc32.Castagnoli))
	case "x-amz-checksum-crc64nvme":
		return crc64.New(crc64.MakeTable(nvme))
	case "x-amz-checksum-sha1":
		return sha1.New()
	case "x-amz-checksum-sha256":
		return sha256.New()
	}
	return nil
}
