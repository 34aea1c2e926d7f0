package document

import (
	"sync"

	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/api/ssmdoc"
)

// reading is what a content was read to, which nobody may change.
type reading struct {
	json []byte           // the content in JSON form
	doc  *ssmdoc.Document // of a Session document only its parameters mean something
}

// mostRemembered bounds how many contents are remembered, in bytes of their JSON form and twice over.
const mostRemembered = 2 << 20

// memory keeps what contents were read to, since a document that is used at all is mostly used
// again. When the young have become too many they are the old, and the old are forgotten.
type memory struct {
	mu         sync.Mutex
	young, old map[string]*reading // guarded by mu
	weight     int                 // of the young, guarded by mu
}

// readings is the memory of read: what a content is read to depends on nothing else.
var readings memory

// keyOf is what the reading of a content is remembered under.
func keyOf(kind, format, hash string) string { return kind + " " + format + " " + hash }

// read reads the content of a stored document. Less is asked of it than when it was stored: by then
// that may have been less.
func read(kind, format, hash, text string) (*reading, error) {
	key := keyOf(kind, format, hash)
	if r := readings.get(key); r != nil {
		return r, nil
	}
	json, err := ssmdoc.Convert([]byte(text), format, ssmdoc.JSON)
	if err != nil {
		return nil, err
	}
	r := &reading{json: json}
	if kind == ssm.DocumentTypeSession {
		r.doc, err = parseSession(json)
	} else {
		r.doc, err = ssmdoc.Read(json, ssmdoc.JSON)
	}
	if err != nil {
		return nil, err
	}
	readings.keep(key, r)
	return r, nil
}

// get gives what is remembered under a key, or nil.
func (m *memory) get(key string) *reading {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r := m.young[key]; r != nil {
		return r
	}
	r := m.old[key]
	if r != nil {
		m.put(key, r)
	}
	return r
}

// keep remembers.
func (m *memory) keep(key string, r *reading) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.put(key, r)
}

// put remembers. The caller holds mu.
func (m *memory) put(key string, r *reading) {
	if m.young == nil || m.weight >= mostRemembered {
		m.young, m.old, m.weight = map[string]*reading{}, m.young, 0
	}
	if m.young[key] == nil {
		m.young[key] = r
		m.weight += len(r.json)
	}
}
