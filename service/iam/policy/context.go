package policy

// Context holds the condition keys of a request. Key names are compared without regard to case, values with it. The zero
// Context has no keys. It is meant to be filled once and read many times; a lookup is a short scan and allocates nothing.
type Context struct {
	entries []entry
	// Fallback is asked for keys that were not set, such as tags that are costly to gather. It gets the key as the
	// policy wrote it and returns no values when the request has no such key.
	Fallback func(key string) []string
}

// entry is one key with its values; the usual single value needs no slice of its own.
type entry struct {
	key  string
	one  [1]string
	many []string
}

// Grow makes room for n keys.
func (c *Context) Grow(n int) {
	if cap(c.entries)-len(c.entries) < n {
		c.entries = append(make([]entry, 0, len(c.entries)+n), c.entries...)
	}
}

// Set gives a key its single value; an empty value is a value.
func (c *Context) Set(key, value string) {
	c.put(entry{key: key, one: [1]string{value}})
}

// SetList gives a multivalued key its values; without any, the key is absent, as AWS has it.
func (c *Context) SetList(key string, values []string) {
	if values == nil {
		values = []string{}
	}
	c.put(entry{key: key, many: values})
}

// put adds an entry or replaces the one with the same key.
func (c *Context) put(e entry) {
	for i := range c.entries {
		if equalFold(c.entries[i].key, e.key) {
			c.entries[i] = e
			return
		}
	}
	c.entries = append(c.entries, e)
}

// Get returns the values of a key, or none when the request has no such key. The slice must not be changed.
func (c *Context) Get(key string) []string {
	if c == nil {
		return nil
	}
	for i := range c.entries {
		e := &c.entries[i]
		if len(e.key) == len(key) && equalFold(e.key, key) {
			if e.many != nil {
				return e.many
			}
			return e.one[:]
		}
	}
	if c.Fallback != nil {
		return c.Fallback(key)
	}
	return nil
}

// single is the value of a key that has exactly one; policy variables resolve to nothing else.
func (c *Context) single(key string) (string, bool) {
	if v := c.Get(key); len(v) == 1 {
		return v[0], true
	}
	return "", false
}

// equalFold tells whether two strings are equal but for the case of ASCII letters.
func equalFold(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := 0; i < len(a); i++ {
		if a[i] != b[i] && lowerByte(a[i]) != lowerByte(b[i]) {
			return false
		}
	}
	return true
}
