for (const body of process.argv.slice(2)) {
  const answer = await fetch(process.env.URL + "/v1/messages", { method: "POST", body });
  await answer.text();
}
