// Command maintenance removes what has outlived its retention. Any number may run.
package main

import "github.com/lingo-services/profile/internal/infrastructure/process"

func main() { process.Main("maintenance", newApp) }
