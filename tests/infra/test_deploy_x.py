from tests.infra.account import Account, account, moto_server

def test_first(account):
    code = account.types("deploy --stage dev")
    print(account.out); print(account.err)
    import pathlib
    p = account.checkout.root/".build"/"failure.log"
    if p.exists(): print(p.read_text())
    assert code == 0
    account.recorded()
    code = account.types("deploy --stage dev")
    print(account.out); print(account.err)
    print(account.written())
    assert 0
