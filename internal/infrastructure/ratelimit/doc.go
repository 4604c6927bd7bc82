// Package ratelimit remembers what callers took of their limits (S88): in this process (Memory), in Redis for all
// instances (Redis), or not at all (Off).
//
// What a caller has used of a rule is one number, as in GCRA: the time at which it will be as if never used. A calendar
// window is the same with a clock that stands still at the window's beginning.
package ratelimit
