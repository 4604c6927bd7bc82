package maintenance

import "context"

// RunAll is one run.
func (r *Runner) RunAll(ctx context.Context) { r.runAll(ctx) }
