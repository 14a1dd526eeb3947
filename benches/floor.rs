//! The floor of the benchmarks: a bare warp server that answers every request with one fixed body.
//!
//! usage: `floor ADDRESS CONTENT-TYPE FILE`
use std::net::SocketAddr;
use warp::Filter;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(address), Some(kind), Some(file)) = (arguments.next(), arguments.next(), arguments.next()) else {
        return Err("usage: floor ADDRESS CONTENT-TYPE FILE".into());
    };
    let address: SocketAddr = address.parse()?;
    let body = bytes::Bytes::from(std::fs::read(file)?);
    let route = warp::any()
        .map(move || warp::reply::with_header(warp::http::Response::new(body.clone()), "content-type", kind.as_str()));
    let route = route.map(warp::reply::Reply::into_response);
    warp::serve(route).run(address).await;
    Ok(())
}
