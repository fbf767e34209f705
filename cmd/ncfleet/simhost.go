package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/ncfleet/ncfleet/controller/sim"
)

// simHostMain is the hidden command sim-host, for measurements: "sim-host
// farm" runs many hosts that all answer alike. The stand-ins of single
// simulated hosts are dispatched before, by [sim.Main].
func simHostMain(args []string) int {
	if len(args) == 0 || args[0] != "farm" {
		fmt.Fprintln(os.Stderr, "error: sim-host belongs to a simulated fleet; see: ncfleet demo --help, or sim-host farm --help")
		return exitUsage
	}
	flags := flag.NewFlagSet("sim-host farm", flag.ContinueOnError)
	hosts := flags.Int("hosts", 1000, "how many hosts")
	dir := flags.String("dir", "", "an empty folder for keys, inventory and the one real host")
	if err := flags.Parse(args[1:]); err != nil || *dir == "" || flags.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "usage: ncfleet sim-host farm --dir FOLDER [--hosts 1000]")
		return exitUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	farm, err := sim.StartFarm(ctx, *dir, *hosts)
	if err != nil {
		fmt.Fprintf(os.Stderr, "error: %v\n", err)
		return exitError
	}
	fmt.Printf("%d hosts are up; inventory: %s\n", *hosts, farm.Inventory)
	<-ctx.Done()
	connections, commands, run := farm.Counts()
	fmt.Printf("%d connections, %d commands, %d of them run, the others answered from memory\n", connections, commands, run)
	if err := farm.Close(); err != nil {
		fmt.Fprintf(os.Stderr, "error: %v\n", err)
		return exitError
	}
	return exitOK
}
