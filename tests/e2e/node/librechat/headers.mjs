// The values of headers: what the environment, and what the user, puts into them.

const FIELDS = {
  ID: "id",
  NAME: "name",
  USERNAME: "username",
  EMAIL: "email",
  PROVIDER: "provider",
  ROLE: "role",
};

const OF_A_USER = /\{\{LIBRECHAT_(USER|OPENID|GRAPH|BODY)_\w+\}\}/;

// Whether the entry of a server makes LibreChat connect for each user, and not once for all.
export function isPerUser({ url, headers = {}, startup, customUserVars = {}, requiresOAuth }) {
  const says = [url, ...Object.values(headers)].some((each) => OF_A_USER.test(each));
  return startup === false || requiresOAuth === true || Object.keys(customUserVars).length > 0 || says;
}

// The headers as they are sent for `user` in a chat turn of which `body` tells. The environment comes first.
export function resolve(headers, { env = {}, user = {}, body }) {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, encode(fill(value, env, user, body))]));
}

function fill(value, env, user, body) {
  return value
    .replace(/\$\{(\w+)\}/g, (literal, name) => env[name] ?? literal)
    .replace(/\{\{LIBRECHAT_USER_(\w+)\}\}/g, (literal, field) => {
      const found = FIELDS[field] === undefined ? undefined : user[FIELDS[field]];
      return found === undefined ? literal : (found ?? ""); // null is empty; what is not there stays as it is written
    })
    .replace(/\{\{LIBRECHAT_BODY_(\w+)\}\}/g, (literal, field) => body?.[field.toLowerCase()] ?? literal);
}

// Latin-1 goes as it is; anything else no header can carry.
function encode(value) {
  return /^[\u0000-\u00ff]*$/.test(value) ? value : `b64:${Buffer.from(value, "utf8").toString("base64")}`;
}
