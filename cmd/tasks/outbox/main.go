// Command outbox publishes the events of profile.outbox_events to Pub/Sub. Any number may run.
package main

import "github.com/lingo-services/profile/internal/infrastructure/process"

func main() { process.Main("outbox", newApp) }
