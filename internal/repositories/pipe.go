package repositories

import (
	"context"
	"errors"
	"iter"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/lingo-services/profile/internal/repositories/profiledb"
)

// errAbandoned ends a function whose statement was never sent.
var errAbandoned = errors.New("the transaction ended before this statement")

// sender is the part of a connection that a pipe needs.
type sender interface {
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
}

// pipe runs the statements of one transaction on one connection, in as few round trips as their answers allow: what
// is queued travels with the next statement whose answer somebody waits for. It belongs to one goroutine and
// implements profiledb.DBTX.
type pipe struct {
	conn sender
	// prelude travels before the first statement; before that of every round trip when stateless.
	prelude []statement
	// stateless: the prelude begins nothing, and each round trip is an implicit transaction of its own.
	stateless bool
	begun     bool
	queued    []*routine
}

// statement is SQL with its arguments. exec: the answer is a command tag, not rows.
type statement struct {
	sql  string
	args []any
	exec bool
}

// queue runs fn up to its first statement, which leaves with the next round trip. What fails then, fails there. A
// function without any statement has ended with the error returned.
func (p *pipe) queue(fn func(db profiledb.DBTX) error) error {
	r := start(fn)
	if !r.waits {
		return r.err
	}
	p.queued = append(p.queued, r)
	return nil
}

// flush makes round trips until nothing is queued, and returns the first error. Nothing stays queued after one.
func (p *pipe) flush(ctx context.Context) error {
	for len(p.queued) > 0 {
		results, err := p.send(ctx, nil)
		if closing := results.Close(); err == nil {
			err = closing
		}
		if err != nil {
			p.drop()
			return err
		}
	}
	return nil
}

// drop forgets what is queued.
func (p *pipe) drop() {
	for _, r := range p.queued {
		r.end()
	}
	p.queued = nil
}

// send makes one round trip with everything queued, and last when it is not nil. It answers what was queued, and
// leaves the results at the answer to last. The caller closes them.
func (p *pipe) send(ctx context.Context, last *statement) (pgx.BatchResults, error) {
	batch, sent, prelude := &pgx.Batch{}, p.queued, p.prelude
	p.queued = nil
	if p.begun {
		prelude = nil
	}
	for _, s := range prelude {
		batch.Queue(s.sql, s.args...)
	}
	for _, r := range sent {
		batch.Queue(r.next.sql, r.next.args...)
	}
	if last != nil {
		batch.Queue(last.sql, last.args...)
	}
	results := p.conn.SendBatch(ctx, batch)
	for range prelude {
		if _, err := results.Exec(); err != nil {
			p.queued = sent
			p.drop()
			return results, err
		}
	}
	p.begun = !p.stateless
	for i, r := range sent {
		if r.answer(results); r.waits {
			p.queued = append(p.queued, r)
		}
		if r.err != nil {
			p.queued = append(p.queued, sent[i+1:]...)
			p.drop()
			return results, r.err
		}
	}
	return results, nil
}

// Exec implements profiledb.DBTX.
func (p *pipe) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	results, err := p.send(ctx, &statement{sql, args, true})
	var tag pgconn.CommandTag
	if err == nil {
		tag, err = results.Exec()
	}
	if closing := results.Close(); err == nil {
		err = closing
	}
	return tag, err
}

// Query implements profiledb.DBTX.
func (p *pipe) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	results, err := p.send(ctx, &statement{sql, args, false})
	if err != nil {
		_ = results.Close()
		return nil, err
	}
	rows, err := results.Query()
	if err != nil {
		_ = results.Close()
		return nil, err
	}
	return &lastRows{rows, results}, nil
}

// QueryRow implements profiledb.DBTX.
func (p *pipe) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	rows, err := p.Query(ctx, sql, args...)
	return firstRow{rows, err}
}

// lastRows are the last answer of a round trip; closing them ends it.
type lastRows struct {
	pgx.Rows
	results pgx.BatchResults
}

// Close implements pgx.Rows.
func (l *lastRows) Close() {
	l.Rows.Close()
	_ = l.results.Close() // repeats the error of the rows
}

// firstRow is the first of rows.
type firstRow struct {
	rows pgx.Rows
	err  error
}

// Scan implements pgx.Row.
func (f firstRow) Scan(dest ...any) error {
	if f.rows != nil {
		defer f.rows.Close()
	}
	if f.err != nil {
		return f.err
	}
	if !f.rows.Next() {
		if err := f.rows.Err(); err != nil {
			return err
		}
		return pgx.ErrNoRows
	}
	if err := f.rows.Scan(dest...); err != nil {
		return err
	}
	f.rows.Close()
	return f.rows.Err()
}

// routine is a function of generated queries that stops at each of its statements, so that those of others can
// travel along. To the function it is the database.
type routine struct {
	resume func() (statement, bool)
	// end makes a function that waits return.
	end   func()
	yield func(statement) bool
	// next is the statement it waits for, as long as it waits; err is what it returned.
	next  statement
	waits bool
	err   error

	tag  pgconn.CommandTag
	rows pgx.Rows
	fail error
}

// start runs fn up to its first statement.
func start(fn func(db profiledb.DBTX) error) *routine {
	r := &routine{}
	r.resume, r.end = iter.Pull(func(yield func(statement) bool) {
		r.yield = yield
		r.err = fn(r)
	})
	r.next, r.waits = r.resume()
	return r
}

// answer reads the result of next and runs on to the statement after it.
func (r *routine) answer(results pgx.BatchResults) {
	if r.next.exec {
		r.tag, r.fail = results.Exec()
	} else {
		r.rows, r.fail = results.Query()
	}
	r.next, r.waits = r.resume()
}

// Exec implements profiledb.DBTX.
func (r *routine) Exec(_ context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	if !r.yield(statement{sql, args, true}) {
		return pgconn.CommandTag{}, errAbandoned
	}
	return r.tag, r.fail
}

// Query implements profiledb.DBTX.
func (r *routine) Query(_ context.Context, sql string, args ...any) (pgx.Rows, error) {
	if !r.yield(statement{sql, args, false}) {
		return nil, errAbandoned
	}
	return r.rows, r.fail
}

// QueryRow implements profiledb.DBTX.
func (r *routine) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	rows, err := r.Query(ctx, sql, args...)
	return firstRow{rows, err}
}
