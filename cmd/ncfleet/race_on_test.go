//go:build race

package main

// raceDetector tells that the stand-ins of simulated hosts are many times
// slower than without it.
const raceDetector = true
