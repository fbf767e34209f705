// Package driverv1 is the driver contract on the wire, generated from
// driver.proto. It refuses to hold hand-written code: conversions live in
// package rpc, promises in package driver.
package driverv1

//go:generate protoc --go_out=. --go_opt=paths=source_relative --go-grpc_out=. --go-grpc_opt=paths=source_relative driver.proto
