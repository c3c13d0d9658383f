// An agent of LibreChat with one action: its own converter makes tools of a document, and each call is carried out as
// LibreChat does it. What is asked comes as one JSON on standard input, and what came of it goes to standard output.
import { openapiToFunction, validateAndParseOpenAPISpec } from 'librechat-data-provider';

const chunks = [];
for await (const chunk of process.stdin) chunks.push(chunk);
const { document, calls, auth } = JSON.parse(Buffer.concat(chunks).toString());

const parsed = validateAndParseOpenAPISpec(document);
if (!parsed.status) throw new Error(parsed.message);
const { functionSignatures, requestBuilders, zodSchemas } = openapiToFunction(parsed.spec, true);

// What the model is told: the answer's data, or of a failure no more than its status.
async function carryOut({ tool, given }) {
  const checked = zodSchemas[tool] ? zodSchemas[tool].parse(given) : given;
  const executor = requestBuilders[tool].createExecutor().setParams(checked);
  if (auth) await executor.setAuth(auth);
  try {
    const { data } = await executor.execute();
    return typeof data === 'object' ? JSON.stringify(data) : data;
  } catch (error) {
    return `The server responded with status ${error.response?.status}: ${error.message}`;
  }
}

const answers = [];
for (const call of calls) {
  const earlier = answers.length ? answers[answers.length - 1] : '';
  // A model that carries the id of the session from the call that gave it to the next.
  const id = /"sessionId":"([^"]+)"/.exec(answers.join('\n'))?.[1];
  const given = JSON.parse(JSON.stringify(call.given).replaceAll('$ID', id ?? earlier));
  answers.push(await carryOut({ ...call, given }));
}
const tools = functionSignatures.map((each) => each.toObjectTool().function);
console.log(JSON.stringify({ serverUrl: parsed.serverUrl, message: parsed.message, tools, answers }));
