// Command catalog_inbox keeps our projection of videos from the catalog's events. Any number may run.
package main

import "github.com/lingo-services/profile/internal/infrastructure/process"

func main() { process.Main("catalog_inbox", newApp) }
