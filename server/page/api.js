// Requests to the server, and the key that signs them (RFC 9421, as docs/client.py does).
//
// The secret of the session becomes a CryptoKey that no script can read, ours included, and is kept
// in IndexedDB, which belongs to this origin alone.

const COVERED = '("@method" "@authority" "@path" "@query" "content-digest")';
const GONE = ["no_session", "session_expired", "invalid_signature"];
const encode = (text) => new TextEncoder().encode(text);
const base64 = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer)));

export class Refused extends Error {
  constructor(status, error) {
    super(error.message);
    this.status = status;
    this.code = error.code;
  }
}

let session = null;
let skew = 0; // seconds that this clock is behind the server's
let onSignedOut = () => {};

export const current = () => session;
export const canSign = () => window.isSecureContext && Boolean(crypto.subtle);

export async function begin(signedOut) {
  onSignedOut = signedOut;
  session = canSign() ? ((await stored("readonly", (all) => all.get("session"))) ?? null) : null;
}

export async function keep(made) {
  const key = await crypto.subtle.importKey(
    "raw", encode(made.session_secret), { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  session = { client_id: made.client_id, user_id: made.user_id, key };
  await stored("readwrite", (all) => all.put(session, "session"));
}

export async function forget() {
  session = null;
  await stored("readwrite", (all) => all.delete("session"));
}

function stored(mode, work) {
  return new Promise((resolve, reject) => {
    const opening = indexedDB.open("meetings", 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore("keys");
    opening.onerror = () => reject(opening.error);
    opening.onsuccess = () => {
      const database = opening.result;
      const transaction = database.transaction("keys", mode);
      const request = work(transaction.objectStore("keys"));
      transaction.oncomplete = () => { database.close(); resolve(request.result); };
      transaction.onerror = () => { database.close(); reject(transaction.error); };
    };
  });
}

// Without a session: for everybody, and for guests with their own secret.
export async function ask(method, path, document, headers = {}, signal = undefined) {
  const body = document === undefined ? undefined : JSON.stringify(document);
  return read(await send(method, path, body, headers, signal));
}

// Signed by the session.
export async function signed(method, path, document, { headers = {}, raw = false } = {}) {
  const body = document === undefined ? undefined : JSON.stringify(document);
  for (let attempt = 0; ; attempt++) {
    const answer = await send(method, path, body, { ...headers, ...(await signature(method, path, body ?? "")) });
    try {
      return await read(answer, raw);
    } catch (error) {
      if (error.code === "request_expired" && attempt === 0 && answer.headers.get("date")) {
        skew = (Date.parse(answer.headers.get("date")) - Date.now()) / 1000;
        continue;
      }
      if (GONE.includes(error.code)) {
        await forget();
        onSignedOut();
      }
      throw error;
    }
  }
}

async function send(method, path, body, headers, signal) {
  const all = { Accept: "application/json", ...headers };
  if (body !== undefined) all["Content-Type"] = "application/json";
  try {
    return await fetch(path, { method, body, headers: all, signal, credentials: "omit", cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, { code: "offline", message: "The server does not answer. Try again in a moment." });
  }
}

async function read(answer, raw = false) {
  if (answer.ok && raw) return answer.blob();
  const text = await answer.text();
  let document = null;
  try {
    document = text ? JSON.parse(text) : null;
  } catch { /* a proxy's own page */ }
  if (answer.ok) return document;
  throw new Refused(answer.status, document?.error ?? { code: "http", message: `The server answered ${answer.status}.` });
}

async function signature(method, path, body) {
  const url = new URL(path, location.origin);
  const digest = `sha-256=:${base64(await crypto.subtle.digest("SHA-256", encode(body)))}:`;
  const nonce = base64(crypto.getRandomValues(new Uint8Array(16)));
  const created = Math.floor(Date.now() / 1000 + skew);
  const parameters = `${COVERED};created=${created};nonce="${nonce}";keyid="${session.client_id}";alg="hmac-sha256"`;
  const base = [
    `"@method": ${method}`,
    `"@authority": ${url.host}`,
    `"@path": ${url.pathname}`,
    `"@query": ${url.search || "?"}`,
    `"content-digest": ${digest}`,
    `"@signature-params": ${parameters}`,
  ].join("\n");
  const made = await crypto.subtle.sign("HMAC", session.key, encode(base));
  return {
    "Content-Digest": digest,
    "Signature-Input": `page=${parameters}`,
    "Signature": `page=:${base64(made)}:`,
  };
}
