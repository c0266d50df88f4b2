import './app.css';

import { mount } from 'svelte';

import App from './App.svelte';
import { takeTokenFromAddress } from './transport';

takeTokenFromAddress();

const target = document.getElementById('app');
if (target) mount(App, { target });
