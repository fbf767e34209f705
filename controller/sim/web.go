package sim

import (
	"context"
	"crypto/subtle"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// maxUpload bounds one file sent over WebDAV.
const maxUpload = 64 << 20

// web serves an installation over HTTP, to its users or behind a door.
type web struct {
	host     *hostConf
	root     string
	override string // NC_maintenance
	// A door has a token and the folder of its router; the public side neither.
	token string
	door  string
}

func (w *web) ServeHTTP(out http.ResponseWriter, in *http.Request) {
	w.host.drag()
	if w.token != "" && subtle.ConstantTimeCompare([]byte(w.token), []byte(in.Header.Get("X-NCFleet-Door"))) != 1 {
		http.Error(out, "closed", http.StatusForbidden)
		return
	}
	if w.door != "" && strings.HasPrefix(in.URL.Path, "/.ncfleet/") {
		w.serveRouter(out, in)
		return
	}
	name := path.Clean("/" + in.URL.Path)
	s, err := loadSite(w.host, w.root, w.override)
	switch {
	case err != nil:
		http.Error(out, "Internal Server Error", http.StatusInternalServerError)
	case s.refusedPHP() != "":
		http.Error(out, s.refusedPHP(), http.StatusInternalServerError)
	case name == "/status.php":
		s.serveStatus(out)
	case s.closed:
		serveClosed(out, name)
	case s.code.Version.Compare(s.installed()) < 0:
		http.Error(out, "Downgrading is not supported", http.StatusServiceUnavailable)
	case strings.HasPrefix(name, "/remote.php/dav/files/"):
		s.serveDAV(out, in, strings.TrimPrefix(name, "/remote.php/dav/files/"))
	default:
		s.servePage(out, in, name)
	}
}

// serveRouter answers what the gate's router answers beside the site.
func (w *web) serveRouter(out http.ResponseWriter, in *http.Request) {
	switch in.URL.Path {
	case "/.ncfleet/state":
		text, err := os.ReadFile(filepath.Join(w.door, "state"))
		if err != nil {
			http.Error(out, err.Error(), http.StatusInternalServerError)
			return
		}
		out.Write(text)
	case "/.ncfleet/stop":
		if err := os.WriteFile(filepath.Join(w.door, "sessions", "stop"), nil, 0o600); err != nil {
			http.Error(out, err.Error(), http.StatusInternalServerError)
		}
	default:
		http.NotFound(out, in)
	}
}

// serveStatus answers 200 in maintenance mode too, as the real one does.
func (s *site) serveStatus(out http.ResponseWriter) {
	if s.code.Version.Compare(s.installed()) < 0 {
		out.WriteHeader(http.StatusInternalServerError)
		return
	}
	out.Header().Set("Content-Type", "application/json")
	out.Header().Set("Cache-Control", "no-store")
	io.WriteString(out, s.statusJSON())
}

func serveClosed(out http.ResponseWriter, name string) {
	h := out.Header()
	h.Set("Retry-After", "120")
	h.Set("X-Nextcloud-Maintenance-Mode", "1")
	h.Set("Cache-Control", "no-store")
	if strings.HasPrefix(name, "/remote.php") || strings.HasPrefix(name, "/public.php") {
		h.Set("Content-Type", "application/xml; charset=utf-8")
		out.WriteHeader(http.StatusServiceUnavailable)
		io.WriteString(out, `<?xml version="1.0" encoding="utf-8"?>`+"\n"+`<d:error xmlns:d="DAV:" xmlns:s="http://sabredav.org/ns"><s:message>System is in maintenance mode.</s:message></d:error>`+"\n")
		return
	}
	h.Set("Content-Type", "text/html; charset=utf-8")
	out.WriteHeader(http.StatusServiceUnavailable)
	io.WriteString(out, "<!DOCTYPE html><title>Maintenance</title><h1>Maintenance mode</h1>\n")
}

// broken is how a site looks that an upgrade has spoilt.
func (s *site) broken() bool { return s.host.has(GateFails) && s.installed().Major() > 28 }

const loginPage = `<!DOCTYPE html>
<html class="ng-csp" lang="en" data-locale="en">
<head>
<meta charset="utf-8">
<title>Nextcloud</title>
<link rel="icon" href="/core/img/favicon.ico">
<link rel="stylesheet" href="/core/css/server.css?v=%[1]s-0">
<link rel="stylesheet" href="/core/css/guest.css?v=%[1]s-0">
<script defer src="/dist/core-main.js?v=%[1]s-0"></script>
<script defer src="/dist/core-login.js?v=%[1]s-0"></script>
</head>
<body id="body-login">
<main><h1 class="hidden-visually">Nextcloud</h1><div id="login"></div></main>
<footer role="contentinfo"><p class="info">Nextcloud – a safe home for all your data</p></footer>
</body>
</html>
`

// servePage answers the login page, the start page and files of the tree.
func (s *site) servePage(out http.ResponseWriter, in *http.Request, name string) {
	switch name {
	case "/":
		http.Redirect(out, in, "/index.php/login", http.StatusFound)
		return
	case "/login", "/index.php/login", "/index.php":
		if s.broken() {
			s.log(3, "index", "Error: Call to a member function getUID() on null")
			http.Error(out, "Internal Server Error", http.StatusInternalServerError)
			return
		}
		out.Header().Set("Content-Type", "text/html; charset=UTF-8")
		fmt.Fprintf(out, loginPage, s.code.Text)
		return
	case "/ocs-provider", "/index.php/ocs-provider":
		out.Header().Set("Content-Type", "application/json")
		io.WriteString(out, `{"version":2,"services":{}}`)
		return
	}
	kind := mime.TypeByExtension(path.Ext(name))
	for _, hidden := range []string{"/config/", "/lib/", "/data/", "/."} {
		if strings.HasPrefix(name, hidden) {
			kind = ""
		}
	}
	text, err := os.ReadFile(filepath.Join(s.root, filepath.FromSlash(name)))
	if kind == "" || strings.HasSuffix(name, ".php") || err != nil {
		http.NotFound(out, in)
		return
	}
	out.Header().Set("Content-Type", kind)
	out.Write(text)
}

// serveDAV is the part of WebDAV that tells a working site from another:
// place is USER/PATH below the users' files.
func (s *site) serveDAV(out http.ResponseWriter, in *http.Request, place string) {
	user, password, _ := in.BasicAuth()
	db, err := s.database()
	if err != nil || s.broken() {
		http.Error(out, "Internal Server Error", http.StatusInternalServerError)
		return
	}
	owner, rel, _ := strings.Cut(place, "/")
	if known, ok := db.Users[user]; !ok || known.Password != passwordSum(password) || owner != user || strings.HasPrefix(user, ".") {
		out.Header().Set("WWW-Authenticate", `Basic realm="Nextcloud", charset="UTF-8"`)
		http.Error(out, "Cannot authenticate over ajax calls", http.StatusUnauthorized)
		return
	}
	if s.needsUpgrade() {
		http.Error(out, "Service unavailable", http.StatusServiceUnavailable)
		return
	}
	home := filepath.Join(s.data(), user, "files")
	if err := os.MkdirAll(home, 0o750); err != nil {
		http.Error(out, err.Error(), http.StatusInternalServerError)
		return
	}
	file := filepath.Join(home, filepath.FromSlash(path.Clean("/"+rel)))
	info, err := os.Stat(file)
	s.davMethod(out, in, file, info, err == nil)
}

func (s *site) davMethod(out http.ResponseWriter, in *http.Request, file string, info os.FileInfo, there bool) {
	status := http.StatusMethodNotAllowed
	switch in.Method {
	case "MKCOL":
		if !there {
			status = statusOf(os.Mkdir(file, 0o750), http.StatusCreated, http.StatusConflict)
		}
	case http.MethodPut:
		status = http.StatusCreated
		if there {
			status = http.StatusNoContent
		}
		status = statusOf(receive(file, in.Body), status, http.StatusConflict)
	case http.MethodGet, http.MethodHead:
		if there && !info.IsDir() {
			http.ServeFile(out, in, file)
			return
		}
		status = http.StatusNotFound
	case http.MethodDelete:
		status = http.StatusNotFound
		if there {
			status = statusOf(os.RemoveAll(file), http.StatusNoContent, http.StatusForbidden)
		}
	case "PROPFIND":
		status = http.StatusNotFound
		if there {
			status = http.StatusMultiStatus
			out.Header().Set("Content-Type", "application/xml; charset=utf-8")
		}
	}
	out.WriteHeader(status)
	if status == http.StatusMultiStatus {
		fmt.Fprintf(out, `<?xml version="1.0"?><d:multistatus xmlns:d="DAV:"><d:response><d:href>%s</d:href><d:propstat><d:prop><d:getcontentlength>%d</d:getcontentlength></d:prop><d:status>HTTP/1.1 200 OK</d:status></d:propstat></d:response></d:multistatus>`,
			in.URL.EscapedPath(), info.Size())
	}
}

func statusOf(err error, good, bad int) int {
	if err != nil {
		return bad
	}
	return good
}

func receive(file string, from io.Reader) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, io.LimitReader(from, maxUpload))
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}

// newWebServer bounds what a client may cost.
func newWebServer(h http.Handler) *http.Server {
	return &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute}
}

// serveDoor is PHP's own web server: php -S ADDRESS -t TREE ROUTER.
func (p *process) serveDoor(address, root, router string) int {
	if root == "" {
		root = p.cwd
	}
	w := &web{host: p.host, root: root, override: p.getenv("NC_maintenance")}
	if router != "" {
		w.door = filepath.Dir(router)
		if w.token = p.getenv("NCFLEET_DOOR"); w.token == "" {
			p.complain("the router has no token in NCFLEET_DOOR\n")
			return 1
		}
	}
	ln, err := net.Listen("tcp", address)
	if err != nil {
		p.complain("Failed to listen on %s (reason: %v)\n", address, err)
		return 1
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	srv := newWebServer(w)
	go func() {
		<-ctx.Done()
		srv.Close()
	}()
	p.complain("[%s] PHP %s Development Server (http://%s) started\n", time.Now().Format(time.ANSIC), p.host.PHP, ln.Addr())
	srv.Serve(ln)
	return 0
}
