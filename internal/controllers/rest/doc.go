// Package rest derives REST under /api/v1 from gRPC. grpc-gateway translates a request into a call over the connection
// it is given, so that everything that guards and serves calls does so for both. What the contract's annotations
// cannot say is here: problems, strict JSON, merge patches, what a route fixes, and the headers that pass.
package rest
