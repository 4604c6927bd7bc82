package main

import (
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// answer is what became of a call.
type answer struct {
	// reason is accepted, or the gRPC code and the ErrorInfo's reason: "ResourceExhausted/OVERLOADED".
	reason    string
	retryInfo bool
}

// judge reads the status of a call.
func judge(err error) answer {
	if err == nil {
		return answer{reason: accepted}
	}
	s := status.Convert(err)
	a := answer{reason: s.Code().String()}
	for _, detail := range s.Details() {
		switch d := detail.(type) {
		case *errdetails.ErrorInfo:
			a.reason = s.Code().String() + "/" + d.GetReason()
		case *errdetails.RetryInfo:
			a.retryInfo = true
		}
	}
	return a
}

// isRefusal tells whether a reason is a server's deliberate "not now".
func isRefusal(reason string) bool {
	code := codes.ResourceExhausted.String()
	return len(reason) >= len(code) && reason[:len(code)] == code
}
