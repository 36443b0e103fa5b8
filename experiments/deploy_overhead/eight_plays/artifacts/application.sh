#!/bin/sh
cat name
