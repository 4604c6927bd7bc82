// Package services holds the use cases. Each runs its decisions in one transaction of the Store: what the
// repositories report as changed is the only source of counters, events and answers.
//
// Lock order, everywhere (S17): user_stats rows by user, then engagement or watch rows, then video_stats
// rows by video, then the outbox.
package services
