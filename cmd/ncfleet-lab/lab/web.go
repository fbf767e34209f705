package lab

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// defaultStage is what waits in the apt repository when a host comes up.
const defaultStage = "stage-2"

// webServer gives the hosts what they would fetch from elsewhere: releases, the
// app store, and the apt repository in the stage that each host is offered.
func (l *Lab) webServer(st *state) *http.Server {
	mux := http.NewServeMux()
	mux.Handle("/releases/", http.StripPrefix("/releases/", http.FileServer(http.Dir(st.Releases))))
	mux.HandleFunc("/store/", func(w http.ResponseWriter, r *http.Request) {
		file := filepath.Base(r.URL.Path)
		switch {
		case st.Store != "":
			http.ServeFile(w, r, filepath.Join(st.Store, file))
		case file == "apps.json", file == "categories.json":
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintln(w, "[]")
		default:
			http.NotFound(w, r)
		}
	})
	mux.HandleFunc("/apt/", func(w http.ResponseWriter, r *http.Request) {
		// Stages differ in content, not in age: a client must not keep what it has.
		r.Header.Del("If-Modified-Since")
		stage := http.Dir(filepath.Join(st.Packages, l.stageOf(st, r.RemoteAddr)))
		http.StripPrefix("/apt/", http.FileServer(stage)).ServeHTTP(w, r)
	})
	return &http.Server{Addr: net.JoinHostPort(gateway, webPort), Handler: mux, ReadHeaderTimeout: 30 * time.Second}
}

// stageOf is the stage of the repository that a client sees.
func (l *Lab) stageOf(st *state, client string) string {
	address, _, err := net.SplitHostPort(client)
	if err != nil {
		return defaultStage
	}
	for _, h := range st.Hosts {
		if h.Address != address {
			continue
		}
		if data, err := os.ReadFile(l.hostFile(h.Name, "stage")); err == nil {
			return strings.TrimSpace(string(data))
		}
	}
	return defaultStage
}
