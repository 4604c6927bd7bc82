package repositories

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/lingo-services/profile/internal/models"
)

// SQLSTATE codes we act on (PostgreSQL manual, appendix A).
const (
	serializationFailure   = "40001"
	deadlockDetected       = "40P01"
	lockNotAvailable       = "55P03"
	queryCanceled          = "57014"
	numericOutOfRange      = "22003"
	characterNotInEncoding = "22021"
	untranslatableChar     = "22P05"
	statementTooComplex    = "54001"
	readOnlyTransaction    = "25006"
	checkViolation         = "23514"
)

// ErrCounterDrift says that a counter would have fallen below zero: stored counters and rows disagree. The
// transaction is rolled back; to callers it is INTERNAL.
var ErrCounterDrift = errors.New("counter would fall below zero")

func isCollision(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == serializationFailure || pg.Code == deadlockDetected || isStray(pg))
}

// isStray: somebody asked the server to stop a statement that we still wait for. A request to cancel names a connection, not
// a statement, and the driver waits 100 ms at most for the server to have heard it: on a machine that is busy beyond that it
// meets the next call on the connection. Limits of time have another message; in a server that does not speak English a
// stray is a deadline, too.
func isStray(pg *pgconn.PgError) bool {
	return pg.Code == queryCanceled && strings.Contains(pg.Message, "user request")
}

// translate gives driver errors their meaning, once: errors that already have one pass through. What is
// left is INTERNAL at the edge.
func translate(err error) error {
	var known *models.Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return models.ErrDeadlineExceeded.Because(err)
	case errors.Is(err, context.Canceled):
		return models.ErrCancelled.Because(err)
	case errors.Is(err, pgx.ErrTxCommitRollback):
		return models.ErrTransactionConflict.Because(err)
	}
	var connect *pgconn.ConnectError
	if errors.As(err, &connect) {
		return models.ErrUnavailable.Because(err) // whatever the server's reason to refuse us
	}
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		if pgconn.Timeout(err) || pgconn.SafeToRetry(err) || isConnectionLoss(err) {
			return models.ErrUnavailable.Because(err)
		}
		return err
	}
	switch {
	case isStray(pg):
		return err // run again, unless it was meant for us
	case pg.Code == checkViolation && (pg.TableName == "video_stats" || pg.TableName == "user_stats"):
		return errors.Join(ErrCounterDrift, err)
	case pg.Code == lockNotAvailable, pg.Code == queryCanceled:
		return models.ErrDeadlineExceeded.Because(err)
	case pg.Code == numericOutOfRange:
		return models.ErrCounterOverflow.Because(err)
	case pg.Code == characterNotInEncoding, pg.Code == untranslatableChar, pg.Code == statementTooComplex:
		return models.ErrInvalidArgument.Because(err) // a second net: the edge refuses these first
	case pg.Code == readOnlyTransaction, class(pg.Code) == "08", class(pg.Code) == "53", class(pg.Code) == "57":
		return models.ErrUnavailable.Because(err) // fail-over, connection, resources, shutdown
	}
	return err
}

func class(code string) string { return code[:2] }

// isConnectionLoss recognises a connection that broke in use.
func isConnectionLoss(err error) bool {
	var network net.Error
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) || errors.As(err, &network)
}

// IsDataError reports whether the database refused the data itself, so that trying the same again is in vain:
// class 22 (data exception), 23 (integrity constraint violation) or 54 (program limit exceeded).
func IsDataError(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (class(pg.Code) == "22" || class(pg.Code) == "23" || class(pg.Code) == "54")
}
