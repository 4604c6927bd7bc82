// Package po holds what repositories read and write - rows, commands on rows and what they changed - and
// the pure rules that belong to one row. Times are UTC microseconds; ratios are basis points (10000 = all).
package po
