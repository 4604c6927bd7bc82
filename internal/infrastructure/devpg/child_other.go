//go:build !linux

package devpg

import "syscall"

// clusterLocale is the one locale that every system has; the encoding is UTF8 all the same.
const clusterLocale = "C"

// dieWithParent has no counterpart outside Linux: after a kill -9 of this process the server goes on, keeps
// the lock, and the next Start attaches to it.
func dieWithParent(*syscall.SysProcAttr) {}

// mayBePostgres cannot tell here.
func mayBePostgres(int) bool { return true }
