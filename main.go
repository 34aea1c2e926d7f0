// Vennel is a self-hosted AWS Systems Manager with the private network around it.
package main

func main() {}
