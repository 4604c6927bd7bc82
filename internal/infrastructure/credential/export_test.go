package credential

// Forget forgets what was verified.
func Forget(v *Verifier) { v.verified.tokens.Purge() }
