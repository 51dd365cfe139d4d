// Questions to the web process: one envelope, one kind of error, and the login's CSRF word with each change.

/** What the web process refused; `status` is HTTP's, 0 where it could not be reached. */
export class ApiError extends Error {
  constructor(status, message, remedy, details) {
    super(message);
    this.status = status;
    this.remedy = remedy;
    this.details = details;
  }
}

export const login = { right: "none", csrf: "", endsAt: 0 };
let whenLoggedOut = () => {};

/** Say whom to call when a question finds that nobody is logged in. */
export function onLoggedOut(callback) {
  whenLoggedOut = callback;
}

function remember(shown) {
  login.right = shown.right;
  login.csrf = shown.csrf;
  login.endsAt = Date.now() + (shown.expires_in_s ?? 0) * 1000;
}

/** Ask, and return the envelope's data. Throws ApiError. */
export async function ask(method, path, body) {
  return (await askAbout(method, path, body)).data;
}

/** Ask about a state of the members' file: return {data, etag}; `known` is the ETag that the question is about. */
export async function askAbout(method, path, body, known) {
  const headers = {};
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (method !== "GET") headers["X-Rustun-Csrf"] = login.csrf;
  if (known) headers["If-Match"] = known;
  const text = body === undefined ? undefined : JSON.stringify(body);
  let answer;
  let told;
  try {
    answer = await fetch(path, { method, headers, credentials: "same-origin", body: text });
    told = await answer.json();
  } catch {
    if (answer === undefined) throw new ApiError(0, "error.unreachable", "error.unreachable_remedy");
    throw new ApiError(answer.status, `${answer.status} ${answer.statusText}`, "");
  }
  if (answer.ok) return { data: told.data, etag: answer.headers.get("ETag") };
  if (answer.status === 401 && path !== "/api/login") whenLoggedOut();
  throw new ApiError(answer.status, told.message ?? "", told.error ?? "", told.details);
}

/** Return whether somebody is logged in here. Throws ApiError where nobody can tell. */
export async function isLoggedIn() {
  try {
    remember(await ask("GET", "/api/login"));
    return login.right !== "none";
  } catch (error) {
    if (error.status === 401) return false;
    throw error;
  }
}

/** Log in with a token. Throws ApiError. */
export async function logIn(token) {
  remember(await ask("POST", "/api/login", { token }));
}

/** End the login. */
export async function logOut() {
  await ask("DELETE", "/api/login");
  Object.assign(login, { right: "none", csrf: "", endsAt: 0 });
}

/** Whether this login may change members. */
export function mayManage() {
  return login.right === "manage";
}
