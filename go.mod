module github.com/vennel/vennel

go 1.26.0

require (
	github.com/go-json-experiment/json v0.0.0-20260820222146-c27c302e5fc3
	github.com/google/uuid v1.6.0
)

require (
	github.com/dlclark/regexp2 v1.12.0 // indirect
	github.com/gorilla/websocket v1.5.3 // indirect
	golang.org/x/time v0.16.0 // indirect
)
