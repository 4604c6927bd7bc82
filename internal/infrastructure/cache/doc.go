// Package cache holds the favourite states of users, in this process (Memory) or in Redis for all instances (Redis), and
// counters of videos and what lists show of them, in this process (ByVideo); or nothing (Off, ByVideoOff).
//
// A value is read under a lease, and every drop ends the leases of its key, so that no reader, however slow, puts
// back what was there before (S90). A value's time to live begins with its lease, not with its fill: what a lost
// drop leaves behind is never wrong for longer than that.
package cache
