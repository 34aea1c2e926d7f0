package cmd

import (
	"context"
	"net"
	"net/http"
	"net/http/pprof"
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/store"
)

// record is what wire tells of each request.
type record func(context.Context, *api.Call, *api.Outcome)

// meters counts requests. Names that a client made up are counted together: each would be a series
// for ever.
type meters struct {
	known    map[[2]string]bool // service and operation
	requests *prometheus.CounterVec
	took     *prometheus.HistogramVec
}

// tookBuckets are the bounds in seconds. An answer from memory is below the first, a waiting poll in
// the last.
var tookBuckets = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 20}

// newMeters makes the counters of requests.
func newMeters(services []api.Service) *meters {
	m := &meters{
		known: map[[2]string]bool{},
		// What clients ask for and which errors they get: a broken policy shows as AccessDenied of one operation.
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "vennel_requests_total", Help: "Requests answered, by service, operation and error code (OK if none).",
		}, []string{"service", "operation", "code"}),
		// Whether the server keeps up. By service only: seventeen buckets for each of hundreds of operations would be
		// most of what is scraped.
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "vennel_request_duration_seconds", Help: "Time to answer a request, by service; a poll counts for as long as it is held.",
			Buckets: tookBuckets,
		}, []string{"service"}),
	}
	for _, s := range services {
		for _, o := range s.Operations {
			m.known[[2]string{s.Name, o.Name}] = true
		}
	}
	return m
}

// count counts each request that is recorded.
func (m *meters) count(then record) record {
	return func(ctx context.Context, call *api.Call, o *api.Outcome) {
		operation, code := call.Operation, o.Code
		if !m.known[[2]string{call.Service, operation}] {
			operation = "unknown"
		}
		if code == "" {
			code = "OK"
		}
		m.requests.WithLabelValues(call.Service, operation, code).Inc()
		m.took.WithLabelValues(call.Service).Observe(o.Took.Seconds())
		then(ctx, call, o)
	}
}

// measure begins to count requests, which must not come in yet, and gathers what the server tells of
// itself.
func (s *Server) measure() *prometheus.Registry {
	m := newMeters(s.Mux.Services)
	s.Mux.Record = m.count(s.Mux.Record)
	r := prometheus.NewRegistry()
	gauge := func(name, help string, read func() int) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return float64(read()) })
	}
	counter := func(name, help string, read func(store.Stats) uint64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, func() float64 { return float64(read(s.db.Stats())) })
	}
	r.MustRegister(
		m.requests, m.took,
		// Each open stream is a connection and memory that stays: what a server's size is planned by.
		gauge("vennel_open_streams", "Websockets that are open.", s.Mux.Streams),
		// Fewer nodes than usual is the first thing to be alarmed by.
		gauge("vennel_nodes_reachable", "Nodes that hold a control channel or a poll.", s.nodes.Reachable),
		// The two together are the size of a group: one means that each write waits for a disk of its own.
		counter("vennel_store_commits_total", "Commits, each one wait for the disk.", func(st store.Stats) uint64 { return st.Commits }),
		counter("vennel_store_updates_total", "Transactions committed; those that came together share a commit.", func(st store.Stats) uint64 { return st.Updates }),
		// Memory, garbage collection, goroutines, CPU and file descriptors: what ends a process.
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return r
}

// healthWait is how long the database may take to answer a health check.
const healthWait = 2 * time.Second

// introspection serves metrics, health and profiles. It asks for no signature, so it has a listener
// of its own. It must be made before the server serves.
func (s *Server) introspection() http.Handler {
	m := http.NewServeMux()
	m.Handle("GET /metrics", promhttp.HandlerFor(s.measure(), promhttp.HandlerOpts{}))
	m.HandleFunc("GET /healthz", s.healthy)
	m.HandleFunc("/debug/pprof/", pprof.Index)
	m.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	m.HandleFunc("/debug/pprof/profile", pprof.Profile)
	m.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	m.HandleFunc("/debug/pprof/trace", pprof.Trace)
	m.HandleFunc("POST /debug/free", func(http.ResponseWriter, *http.Request) { debug.FreeOSMemory() }) // to see what is really in use
	return m
}

// healthy answers 200 when the database can be read, 503 when not.
func (s *Server) healthy(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), healthWait)
	defer cancel()
	if err := s.db.View(ctx, func(*store.Tx) error { return ctx.Err() }); err != nil {
		http.Error(w, "the database cannot be read", http.StatusServiceUnavailable)
		return
	}
	_, _ = w.Write([]byte("ok\n"))
}

// serveMetrics serves introspection on a socket until ctx ends. A profile that is being taken then is
// cut off.
func serveMetrics(ctx context.Context, h http.Handler, l net.Listener) error {
	web := &http.Server{Handler: h, ReadHeaderTimeout: headerTime, BaseContext: func(net.Listener) context.Context { return ctx }}
	context.AfterFunc(ctx, func() { _ = web.Close() })
	return ended(web.Serve(l))
}
