module github.com/vennel/vennel

go 1.26
