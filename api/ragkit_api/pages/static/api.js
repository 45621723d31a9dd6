// Requests to the service. The key lives in this tab alone and goes out in a header, never in an address.

const KEY = "ragkit key";
const PATIENCE = 5;

export class ApiError extends Error {
  constructor(status, error, wait) {
    super(error.message || `the service answered ${status}`);
    this.status = status;
    this.code = error.code || "";
    this.detail = error;
    this.wait = wait;
  }
}

export const key = {
  get: () => sessionStorage.getItem(KEY) || "",
  set: (value) => sessionStorage.setItem(KEY, value),
  forget: () => sessionStorage.removeItem(KEY),
};

function headers(more = {}) {
  return key.get() ? { authorization: `Bearer ${key.get()}`, ...more } : more;
}

async function send(path, options) {
  try {
    return await fetch(path, { credentials: "omit", cache: "no-store", redirect: "error", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, { code: "unreachable", message: "the service cannot be reached: is it running?" });
  }
}

async function refusal(response) {
  const body = await response.json().catch(() => ({}));
  const error = new ApiError(response.status, body.error || {}, Number(response.headers.get("retry-after")) || 0);
  if (response.status === 401) window.dispatchEvent(new CustomEvent("key-needed", { detail: error }));
  return error;
}

export async function call(path, { method = "GET", body, query, signal } = {}) {
  const address = query ? `${path}?${new URLSearchParams(query)}` : path;
  const more = body === undefined ? {} : { "content-type": "application/json" };
  const options = {
    method,
    headers: headers(more),
    body: body === undefined ? undefined : JSON.stringify(body),
    signal,
  };
  for (let tried = 0; ; tried += 1) {
    const response = await send(address, options);
    if (response.ok) return response.json();
    const error = await refusal(response);
    // A read that came too soon may come again; what changes something is left to whoever asked for it.
    const again = method === "GET" && (error.status === 429 || error.status === 503) && tried < 3;
    if (!again || !error.wait || error.wait > PATIENCE) throw error;
    await new Promise((resolve) => setTimeout(resolve, 1000 * error.wait));
  }
}

// A question as a stream: `hear(name, data)` for each event, until the last.
export async function stream(path, body, hear, signal) {
  const options = {
    method: "POST",
    headers: headers({ "content-type": "application/json" }),
    body: JSON.stringify(body),
    signal,
  };
  const response = await send(path, options);
  if (!response.ok) throw await refusal(response);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const fields = Object.fromEntries(block.split("\n").map((line) => line.split(/: (.*)/s)));
      hear(fields.event, JSON.parse(fields.data));
    }
  }
}

// Files go out by the older interface: it alone tells how much has left.
export function upload(files, progress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const form = new FormData();
    for (const file of files) form.append("files", file, file.name);
    request.open("POST", "/v1/documents");
    request.responseType = "json";
    for (const [name, value] of Object.entries(headers())) request.setRequestHeader(name, value);
    request.upload.addEventListener(
      "progress",
      (event) => event.lengthComputable && progress(event.loaded, event.total),
    );
    request.addEventListener("error", () =>
      reject(new ApiError(0, { message: "the upload broke off: is the service running?" })),
    );
    request.addEventListener("load", () => {
      if (request.status === 202) resolve(request.response);
      else reject(new ApiError(request.status, request.response?.error || {}));
    });
    request.send(form);
  });
}

export function zone() {
  return Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
}

// The same in the reader's time zone, or in UTC where the service does not know that zone.
export async function callInZone(path, query) {
  try {
    return await call(path, { query: { ...query, zone: zone() } });
  } catch (error) {
    if (error.status !== 422) throw error;
    return call(path, { query });
  }
}
