package main

import (
	"fmt"
	"math/rand/v2"
)

// How the videos of a workload are chosen.
const (
	uniform = "uniform"
	zipf    = "zipf"
	hot     = "hot"
)

// zipfExponent is the one pgbench gets for random_zipfian.
const zipfExponent = 1.1

// newRand is for load, not for secrets.
func newRand(seed, stream uint64) *rand.Rand {
	return rand.New(rand.NewPCG(seed, stream)) //nolint:gosec // G404: see above
}

// newSpread returns a source of numbers from 1 to n: equally likely, the k-th one with a weight of k^-1.1, or
// always 1.
func newSpread(name string, n int, r *rand.Rand) (func() int, error) {
	switch name {
	case uniform:
		return func() int { return 1 + r.IntN(n) }, nil
	case zipf:
		z := rand.NewZipf(r, zipfExponent, 1, uint64(n-1))
		return func() int { return 1 + int(z.Uint64()) }, nil
	case hot:
		return func() int { return 1 }, nil
	}
	return nil, fmt.Errorf("unknown spread %q", name)
}

// spreadSQL is the same for pgbench: it sets v.
func spreadSQL(name string, videos int) string {
	switch name {
	case zipf:
		return fmt.Sprintf("\\set v random_zipfian(1, %d, %g)\n", videos, zipfExponent)
	case hot:
		return "\\set v 1\n"
	}
	return fmt.Sprintf("\\set v random(1, %d)\n", videos)
}
