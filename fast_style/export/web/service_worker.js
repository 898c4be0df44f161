// Keeps the site's files for use offline, and adds the headers without which browsers give
// WebAssembly a single thread. The export writes VERSION and SHELL above: a hash of the site, and
// the files that the page consists of. The others are kept when they are first asked for.
const OURS = `fast-style ${registration.scope} `; // other sites may have the same origin
const CACHE = OURS + VERSION;

addEventListener("install", (event) => {
  skipWaiting();
  const shell = SHELL.map((url) => new Request(url, { cache: "no-cache" }));
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(shell)));
});

addEventListener("activate", (event) => {
  event.waitUntil(
    caches.keys().then(async (names) => {
      const old = names.filter((name) => name.startsWith(OURS) && name !== CACHE);
      await Promise.all(old.map((name) => caches.delete(name)));
      await clients.claim();
    }),
  );
});

addEventListener("fetch", (event) => {
  const { method, url } = event.request;
  if (method === "GET" && url.startsWith(registration.scope)) event.respondWith(answer(event));
});

async function answer(event) {
  const cache = await caches.open(CACHE);
  const kept = await cache.match(event.request, { ignoreSearch: true });
  if (kept) return isolated(kept);
  const fetched = await fetch(event.request, { cache: "no-cache" });
  if (fetched.status === 200) {
    const keep = cache.put(event.request, fetched.clone());
    event.waitUntil(keep.catch(() => {})); // without room, it is fetched again
  }
  return isolated(fetched);
}

function isolated(response) {
  if (response.type !== "basic") return response; // a redirect
  const headers = new Headers(response.headers);
  headers.set("Cross-Origin-Opener-Policy", "same-origin");
  headers.set("Cross-Origin-Embedder-Policy", "require-corp");
  const { status, statusText } = response;
  return new Response(response.body, { status, statusText, headers });
}
