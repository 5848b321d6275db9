//! `doorbell rpc`: any method of a running server, the commands that are composed of several, and the list of all of them.

mod composed;
mod help;

use crate::cli::RpcArgs;
use crate::client::{Client, ClientError, params, print};

/// Does what was asked and prints the result.
pub(crate) fn rpc(args: &RpcArgs) -> Result<(), ClientError> {
    let Some(method) = &args.method else {
        return help::list(&mut Client::connect(&args.server)?);
    };
    if let Some(command) = composed::find(method) {
        return command.run(args);
    }
    composed::refuse_flags(method, &args.composed)?;
    let params = params(&args.params)?;
    let mut client = Client::connect(&args.server)?;
    match client.call(method, params) {
        Ok(result) => print(&result),
        Err(refused) => return Err(help::explain(&mut client, method, refused)),
    }
    Ok(())
}
