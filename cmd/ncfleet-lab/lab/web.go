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

// defaultStage is what waits in the package repository when a host comes up.
const defaultStage = "stage-2"

// webServer gives the hosts what they would fetch from elsewhere: releases, the
// app store, and their package repository in the stage that each host is offered.
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
	for _, path := range []string{"/apt/", "/rpm/"} {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			// Stages differ in content, not in age: a client must not keep what it has.
			r.Header.Del("If-Modified-Since")
			http.StripPrefix(path, http.FileServer(http.Dir(l.stageOf(st, r.RemoteAddr)))).ServeHTTP(w, r)
		})
	}
	return &http.Server{Addr: net.JoinHostPort(gateway, webPort), Handler: mux, ReadHeaderTimeout: 30 * time.Second}
}

// stageOf is the folder of the repository that a client sees.
func (l *Lab) stageOf(st *state, client string) string {
	address, _, err := net.SplitHostPort(client)
	if err != nil {
		return filepath.Join(st.Packages, defaultStage)
	}
	for _, h := range st.Hosts {
		if h.Address != address {
			continue
		}
		stage := defaultStage
		if data, err := os.ReadFile(l.hostFile(h.Name, "stage")); err == nil {
			stage = strings.TrimSpace(string(data))
		}
		return filepath.Join(st.repository(h), stage)
	}
	return filepath.Join(st.Packages, defaultStage)
}
