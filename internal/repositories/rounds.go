package repositories

// rounds splits positions of items so that no round holds a key twice and order per key is kept: one
// statement can touch a row only once.
func rounds[T any, K comparable](items []T, key func(T) K) [][]int {
	var out [][]int
	seen := make(map[K]int, len(items))
	for i, item := range items {
		n := seen[key(item)]
		seen[key(item)]++
		if n == len(out) {
			out = append(out, nil)
		}
		out[n] = append(out[n], i)
	}
	return out
}
