// Command grpc is the API server: ProfileService over gRPC, and the admin listener.
package main

import "github.com/lingo-services/profile/internal/infrastructure/process"

func main() { process.Main("grpc", newApp) }
