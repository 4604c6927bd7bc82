// Package rest derives REST under /api/v1 from gRPC. grpc-gateway translates a request into a call of the handler that
// gRPC calls, through everything that guards it there. What the contract's annotations
// cannot say is here: problems, strict JSON, merge patches, what a route fixes, and the headers that pass.
package rest
